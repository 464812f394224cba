//! Which names endpoints and served entities may have.

use super::fault::Fault;

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Of a new endpoint.
pub(super) fn judge_endpoint(name: &str) -> Result<(), Fault> {
    if !is_plain(name) {
        return Err(Fault::invalid(format!("Endpoint name '{name}' can only have letters, digits, dashes and underscores, and must not be empty.")));
    }
    if name.starts_with("databricks-") {
        return Err(Fault::invalid(format!("Endpoint name '{name}' is not allowed: the prefix 'databricks-' is reserved.")));
    }
    Ok(())
}

/// Of a served entity. Names made from a model's may hold a dot.
pub(super) fn judge_entity(name: &str) -> Result<(), Fault> {
    if is_plain(&name.replace('.', "")) {
        return Ok(());
    }
    Err(Fault::invalid(format!("Served entity name '{name}' can only have letters, digits, dashes and underscores.")))
}
