"""Measuring a running engine: bursts of requests (`bursts`), what is asked (`measuring`), and the fit (`fitting`)."""
