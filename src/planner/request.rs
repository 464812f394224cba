//! What to send: the body of the create and the resize request.
