//! What only PostgreSQL has to show: late commits, outages, poolers, TLS.
