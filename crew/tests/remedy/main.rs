//! remedy on a real API server.
