//! Per-interval series: rates, in flight, tokens, TTFT quantiles, errors.
