"""The Prometheus exporter: what is measured (facts), how it is read, text, HTTP."""
