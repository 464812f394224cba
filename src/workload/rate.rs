//! Rate functions, their integral and its inverse.
