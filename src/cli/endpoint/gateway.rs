//! Tags and AI Gateway from the command line.

use crate::cli::args::endpoint::SizeArgs;
use crate::cli::exit::{Exit, Failure};
use crate::protocol::databricks::endpoint::Tag;
use crate::protocol::databricks::gateway::{AiGateway, InferenceTable, LimitKey, RateLimit, Switch};

/// The labels.
pub(super) fn tags(args: &SizeArgs) -> Result<Vec<Tag>, Failure> {
    args.tags
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').map_or((text.as_str(), None), |(key, value)| (key, Some(value.to_owned())));
            if key.trim().is_empty() {
                return Err(Failure::new(Exit::Usage, format!("--tag {text:?}: expected KEY or KEY=VALUE")));
            }
            Ok(Tag { key: key.trim().to_owned(), value })
        })
        .collect()
}

/// The gateway, if anything of it is asked for.
pub(super) fn gateway(args: &SizeArgs) -> Result<Option<AiGateway>, Failure> {
    let rate_limits = args.rate_limits.iter().map(|text| limit(text)).collect::<Result<Vec<_>, _>>()?;
    let on = |wanted: bool| wanted.then_some(Switch { enabled: true });
    let gateway = AiGateway {
        rate_limits,
        usage_tracking_config: on(args.usage_tracking),
        inference_table_config: args.inference_table.as_deref().map(table).transpose()?,
        fallback_config: on(args.fallback),
        ..AiGateway::default()
    };
    Ok((gateway != AiGateway::default()).then_some(gateway))
}

fn table(text: &str) -> Result<InferenceTable, Failure> {
    let parts: Vec<&str> = text.split('.').collect();
    let [catalog, schema, prefix] = parts[..] else {
        return Err(Failure::new(Exit::Usage, format!("--inference-table {text:?}: expected CATALOG.SCHEMA.PREFIX")));
    };
    let some = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
    Ok(InferenceTable { enabled: true, catalog_name: some(catalog), schema_name: some(schema), table_name_prefix: some(prefix) })
}

fn limit(text: &str) -> Result<RateLimit, Failure> {
    let refuse = |what: String| {
        Failure::new(Exit::Usage, format!("--rate-limit {text:?}: {what}"))
            .with_hint("for example calls=600, or tokens=100000,key=user, or calls=60,key=user_group,principal=analysts")
    };
    let mut limit = RateLimit { renewal_period: "minute".to_owned(), key: Some(LimitKey::Endpoint), ..RateLimit::default() };
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| refuse(format!("{part:?} is not KEY=VALUE")))?;
        let number = || value.trim().parse::<u64>().map_err(|_| refuse(format!("{value:?} is not a whole number")));
        match key.trim() {
            "calls" => limit.calls = Some(number()?),
            "tokens" => limit.tokens = Some(number()?),
            "principal" => limit.principal = Some(value.trim().to_owned()),
            "key" => {
                limit.key = Some(match value.trim() {
                    "endpoint" => LimitKey::Endpoint,
                    "user" => LimitKey::User,
                    "user_group" => LimitKey::UserGroup,
                    "service_principal" => LimitKey::ServicePrincipal,
                    other => return Err(refuse(format!("key {other:?}; expected endpoint, user, user_group or service_principal"))),
                });
            }
            other => return Err(refuse(format!("{other:?}; expected calls, tokens, key or principal"))),
        }
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_tables_are_read() {
        let args = SizeArgs {
            rate_limits: vec!["calls=600".to_owned(), "tokens=9000,key=user_group,principal=g".to_owned()],
            inference_table: Some("main.logs.llama".to_owned()),
            usage_tracking: true,
            tags: vec!["team=search".to_owned(), "test".to_owned()],
            ..SizeArgs::default()
        };
        let found = serde_json::to_value(gateway(&args).unwrap().unwrap()).unwrap();
        assert_eq!(found["rate_limits"][0], serde_json::json!({"calls": 600, "key": "endpoint", "renewal_period": "minute"}));
        assert_eq!(found["rate_limits"][1]["principal"], "g");
        assert_eq!(found["inference_table_config"]["table_name_prefix"], "llama");
        assert_eq!(found["usage_tracking_config"]["enabled"], true);
        assert_eq!(tags(&args).unwrap()[0].value.as_deref(), Some("search"));
        assert!(gateway(&SizeArgs::default()).unwrap().is_none());
        for bad in ["calls", "calls=x", "hour=1", "key=everyone"] {
            assert!(limit(bad).unwrap_err().hint.is_some(), "{bad}");
        }
    }
}
