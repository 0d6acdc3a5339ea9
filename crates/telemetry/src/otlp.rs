//! Export of spans over OTLP/HTTP.
