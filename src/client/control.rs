//! Control plane over reqwest: what one chunk is (get-model-optimization-info), is the endpoint there.
