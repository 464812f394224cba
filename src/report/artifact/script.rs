//! Scripts: MLflow deployments, curl, and the SQL that exports the demand for `plimsoll learn`.

use super::quoted;
use crate::protocol::databricks::endpoint::CreateEndpoint;
use crate::protocol::databricks::{Product, path};
use serde_json::{Value, json};

/// Days of usage that are exported: four weeks show weekdays, and the table keeps ninety days.
const DAYS: u32 = 28;

/// Python with the deployments client of MLflow, which knows tokens per second; model units go by REST.
pub(super) fn mlflow(body: &CreateEndpoint, product: Product, why: &str) -> String {
    let config = python(&json!(body.config), 0);
    let name = quoted(&body.name);
    let note = match product {
        Product::TokenBands => "",
        Product::ModelUnits => {
            "\n# This client posts to /serving-endpoints; if the workspace refuses model units there, use apply.sh, which posts to /serving-endpoints/pt."
        }
    };
    format!(
        "# {why}{note}\nfrom mlflow.deployments import get_deploy_client\n\nNAME = {name}\nCONFIG = {config}\n\nclient = get_deploy_client(\"databricks\")\nknown = {{endpoint[\"name\"] for endpoint in client.list_endpoints()}}\nif NAME in known:\n    client.update_endpoint(endpoint=NAME, config=CONFIG)\nelse:\n    client.create_endpoint(name=NAME, config=CONFIG)\n"
    )
}

/// A JSON value as Python writes it.
fn python(value: &Value, depth: usize) -> String {
    let (pad, end) = ("    ".repeat(depth + 1), "    ".repeat(depth));
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("{pad}{},", python(item, depth + 1))).collect();
            format!("[\n{}\n{end}]", items.join("\n"))
        }
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{pad}{}: {},", quoted(key), python(value, depth + 1))).collect();
            format!("{{\n{}\n{end}}}", members.join("\n"))
        }
        Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// A shell script with curl: creates, or with `resize` replaces the configuration.
pub(super) fn curl(body: &CreateEndpoint, product: Product, why: &str) -> String {
    let (create, resize) = (path::create(product), path::config(product, &body.name));
    let update = body.config.update_body(product);
    // The documents stand in here-documents with a quoted end: the shell changes nothing in them.
    format!(
        "#!/bin/sh\n# {why}\n# Usage: sh apply.sh create|resize, with DATABRICKS_HOST (https://...) and DATABRICKS_TOKEN in the environment.\nset -eu\ncase \"${{1:-}}\" in\ncreate)\n  curl --fail-with-body -sS -X POST \"$DATABRICKS_HOST{create}\" \\\n    -H \"Authorization: Bearer $DATABRICKS_TOKEN\" -H 'Content-Type: application/json' --data-binary @- <<'END_OF_BODY'\n{:#}\nEND_OF_BODY\n  ;;\nresize)\n  curl --fail-with-body -sS -X PUT \"$DATABRICKS_HOST{resize}\" \\\n    -H \"Authorization: Bearer $DATABRICKS_TOKEN\" -H 'Content-Type: application/json' --data-binary @- <<'END_OF_BODY'\n{update:#}\nEND_OF_BODY\n  ;;\n*)\n  echo 'usage: apply.sh create|resize' >&2\n  exit 2\n  ;;\nesac\n",
        json!(body)
    )
}

/// SQL for the usage table: one row a request, in the columns that `plimsoll learn` knows.
pub(super) fn demand(endpoint: &str) -> String {
    let name = endpoint.replace('\'', "''");
    format!(
        "-- One row a request of endpoint {name}, for `plimsoll learn demand.csv`. Usage tracking must be on; rows come up to an hour late.\n-- Refused requests (429) may be missing: demand is censored exactly when capacity was short; `learn --throttled-share` corrects it.\nSELECT request_time, input_token_count, output_token_count, status_code\nFROM system.serving.endpoint_usage\nWHERE served_entity_id IN (SELECT served_entity_id FROM system.serving.served_entities WHERE endpoint_name = '{name}')\n  AND request_time >= current_date() - INTERVAL {DAYS} DAYS\nORDER BY request_time;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use crate::protocol::databricks::endpoint::{CreateEndpoint, EndpointConfig};
    use crate::protocol::databricks::entity::ServedEntity;
    use serde_json::Value;

    fn files(entity: ServedEntity) -> impl Fn(&str) -> String {
        let config = EndpointConfig { served_entities: vec![entity], ..EndpointConfig::default() };
        let body = CreateEndpoint { name: "it's".to_owned(), config, ..CreateEndpoint::default() };
        let files = all(&serde_json::json!(body), "because\nof two lines");
        move |name| files.iter().find(|file| file.name == name).unwrap().text.clone()
    }

    /// The documents inside the shell script are those of the REST API, for both products.
    #[test]
    fn the_shell_script_holds_both_bodies() {
        let band = files(ServedEntity::band("a.b.m", "2", 0, 970))("apply.sh");
        let bodies: Vec<Value> =
            band.split("<<'END_OF_BODY'\n").skip(1).map(|part| serde_json::from_str(part.split("\nEND_OF_BODY").next().unwrap()).unwrap()).collect();
        assert_eq!(bodies[0]["config"]["served_entities"], bodies[1]["served_entities"]);
        assert_eq!(bodies[0]["config"]["served_entities"][0]["min_provisioned_throughput"], 0);
        assert!(band.contains("/api/2.0/serving-endpoints/it%27s/config") && band.contains("# because\n# Usage"), "{band}");
        let units = files(ServedEntity::units("a.b.m", "2", 50, true))("apply.sh");
        assert!(units.contains("/api/2.0/serving-endpoints/pt\"") && units.contains("/pt/it%27s/config\""), "{units}");
    }

    #[test]
    fn python_and_sql_say_the_same_names() {
        let of = files(ServedEntity::units("a.b.m", "2", 50, true));
        let python = of("mlflow_deploy.py");
        assert!(python.contains("\"burst_scaling_enabled\": True,") && python.contains("NAME = \"it's\""), "{python}");
        assert!(of("demand.sql").contains("endpoint_name = 'it''s'"));
        assert!(all(&Value::Null, "").is_empty());
    }
}
