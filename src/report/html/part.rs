//! Parts of pages: head, main figures, tables, charts, warnings, glossary. Every text passes askama's escaping.

use crate::base::diag::{Severity, Warning};
use crate::report::Figure;
use crate::report::chart::{Chart, Table, Width};
use crate::report::words;
use askama::Template;

/// The style sheet of every page.
const STYLE: &str = include_str!("../style.css");

/// What stands above a page.
pub(super) struct Head {
    pub(super) tool_version: String,
    pub(super) title: String,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) question: String,
    pub(super) stamp: String,
    pub(super) style: &'static str,
}

impl Head {
    pub(super) fn new(kind: &'static str, name: &str, question: &str, tool_version: &str, stamp: String) -> Self {
        Self {
            tool_version: tool_version.to_owned(),
            title: format!("{name}: {kind}"),
            kind,
            name: name.to_owned(),
            question: question.to_owned(),
            stamp,
            style: STYLE,
        }
    }
}

#[derive(Template)]
#[template(path = "table.html", config = "src/report/html/askama.toml")]
struct TablePart<'a> {
    table: &'a Table,
    label: &'a str,
    caption: &'a str,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "figure.html", config = "src/report/html/askama.toml")]
struct ChartPart<'a> {
    chart: &'a Chart,
    svg: String,
    wide: bool,
    keys: Vec<(String, &'a str)>,
    table: String,
}

#[derive(Template)]
#[template(
    ext = "html",
    config = "src/report/html/askama.toml",
    source = r#"<ul class="kpis">{% for f in figures %}<li class="kpi"><div class="name">{{ f.name }}</div><div class="value">{% for (label, value) in f.values %}<span>{% if !label.is_empty() %}<small>{{ label }}</small> {% endif %}{{ value }}</span> {% endfor %}</div><div class="note">{{ f.note }}</div></li>
{% endfor %}</ul>"#
)]
struct FiguresPart<'a> {
    figures: &'a [Figure],
}

#[derive(Template)]
#[template(
    ext = "html",
    config = "src/report/html/askama.toml",
    source = r#"<ul class="warnings">{% for w in warnings %}<li class="{{ w.class }}"><strong>{{ w.severity }}: {{ w.message }}</strong><br>{% if !w.hint.is_empty() %}Hint: {{ w.hint }}. {% endif %}<code>{{ w.code }}</code></li>
{% endfor %}</ul>"#
)]
struct WarningsPart<'a> {
    warnings: Vec<WarningLine<'a>>,
}

struct WarningLine<'a> {
    class: &'static str,
    severity: &'static str,
    message: &'a str,
    hint: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    config = "src/report/html/askama.toml",
    source = r#"<dl class="words">{% for (term, text) in terms %}<dt>{{ term }}</dt><dd>{{ text }}</dd>
{% endfor %}</dl>"#
)]
struct GlossaryPart {
    terms: [(&'static str, &'static str); 12],
}

/// Templates are checked when this is compiled; rendering into memory has nothing left that could fail.
pub(super) fn rendered(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}

/// A table of figures: first column names, the rest aligned to the right.
pub(super) fn numbers(table: &Table, label: &str) -> String {
    rendered(&TablePart { table, label, caption: "", class: "numbers" })
}

/// A table of sentences, aligned to the left.
pub(super) fn sentences(table: &Table, label: &str) -> String {
    rendered(&TablePart { table, label, caption: "", class: "words" })
}

/// A chart with legend, description, and its numbers folded below.
pub(super) fn chart(chart: &Chart) -> String {
    rendered(&ChartPart {
        chart,
        svg: chart.svg(),
        wide: chart.width == Width::Full,
        keys: chart.keys.iter().map(|k| (k.svg(), k.text.as_str())).collect(),
        table: numbers(&chart.table, &chart.title),
    })
}

/// Main figures side by side.
pub(super) fn figures(figures: &[Figure]) -> String {
    rendered(&FiguresPart { figures })
}

/// Reasons to doubt, the gravest first; empty without any.
pub(super) fn warnings<'a>(warnings: impl Iterator<Item = &'a Warning>) -> String {
    let mut sorted: Vec<&Warning> = warnings.collect();
    sorted.sort_by_key(|w| std::cmp::Reverse(w.severity));
    if sorted.is_empty() {
        return String::new();
    }
    let line = |w: &'a Warning| WarningLine {
        class: match w.severity {
            Severity::Note => "plain",
            Severity::Doubt => "doubt",
            Severity::Invalid => "bad",
        },
        severity: words::severity(w.severity),
        message: &w.message,
        hint: w.hint.trim_end_matches('.'),
        code: &w.code,
    };
    rendered(&WarningsPart { warnings: sorted.into_iter().map(line).collect() })
}

/// Terms explained.
pub(super) fn glossary() -> String {
    rendered(&GlossaryPart { terms: words::GLOSSARY })
}

/// Indented JSON of a value; empty if it has no JSON form.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
