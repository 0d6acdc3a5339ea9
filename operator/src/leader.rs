//! Which replica acts: a Lease of the operator's namespace.
