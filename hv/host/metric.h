/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Measurements, printed as one JSON object a line after "# metric ":
 *
 *	# metric {"name": "exits.cpuid", "unit": "ticks", "n": 1000, "min": 97, "p50": 98, "p99":
 *101, "max": 240, "params": {"cpus": 1}} # metric {"name": "image.bytes", "unit": "bytes", "value":
 *151552, "params": {}}
 */
#ifndef HV_HOST_METRIC_H
#define HV_HOST_METRIC_H

#include "hv/host/types.h"

#define METRIC_MAX_PARAMS 8

struct metric_param {
	const char *key;
	u64 value;
	const char *word; /* printed instead of @value when not NULL */
};

/**
 * metric_value - one number
 * @name: "experiment.quantity"; @unit: "ticks", "count", "bytes" or "ms"
 * @params: up to METRIC_MAX_PARAMS, or NULL with @nr_params 0
 */
void metric_value(const char *name, const char *unit, u64 value, const struct metric_param *params,
		  unsigned int nr_params);

/**
 * metric_samples - minimum, median, 99th percentile and maximum of samples
 * @samples: sorted in place
 * @n: at least 1
 *
 * Percentiles are nearest-rank: the smallest sample such that at least p percent are not above it.
 */
void metric_samples(const char *name, const char *unit, u64 *samples, unsigned int n,
		    const struct metric_param *params, unsigned int nr_params);

#endif
