//! Objectives judged on a summary; goodput of a request.
