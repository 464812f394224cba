//! Trust: system roots, a CA of one's own, client certificates.
