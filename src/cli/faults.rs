//! Faults of a scenario, drawn with the line they stand in.

use crate::base::diag::Fault;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Lines longer than this are not drawn: the place is told in words.
const LONGEST_LINE: usize = 400;

/// What stands for a value that may be a secret.
const NOT_SHOWN: &str = "(not shown)";

/// Every fault, drawn, one after the other. `text` is the file as read; faults without a place stand for themselves.
#[must_use]
pub(crate) fn draw(faults: &[Fault], text: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let drawn: Vec<String> = faults.iter().map(|fault| draw_one(&renderer, fault, text)).collect();
    drawn.join("\n\n")
}

fn draw_one(renderer: &Renderer, fault: &Fault, text: &str) -> String {
    let title = if fault.key.is_empty() { fault.message.clone() } else { format!("{}: {}", fault.key, fault.message) };
    let mut group = Group::with_title(Level::ERROR.primary_title(title.as_str()));
    if let Some(place) = &fault.place {
        let span = place.span.start.min(text.len())..place.span.end.min(text.len());
        let line_start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[span.start..].find('\n').map_or(text.len(), |i| span.start + i);
        // A value that may be a secret is not shown, and neither is its line.
        let secret = fault.found.as_deref() == Some(NOT_SHOWN);
        let drawable = !secret && line_end - line_start <= LONGEST_LINE && text.is_char_boundary(span.start) && text.is_char_boundary(span.end);
        if drawable && !text.is_empty() {
            // A span over many lines is drawn at its first line.
            let span = span.start..span.end.min(line_end).max(span.start);
            group = group.element(Snippet::source(text).path(place.file.as_str()).annotation(AnnotationKind::Primary.span(span)));
        } else {
            let here = format!("at {}:{}:{}", place.file, place.line, place.column);
            group = group.element(Level::NOTE.message(here));
        }
    }
    if let Some(found) = fault.found.as_ref().filter(|_| fault.place.is_none()) {
        group = group.element(Level::NOTE.message(format!("found {found}")));
    }
    if let Some(expected) = &fault.expected {
        group = group.element(Level::NOTE.message(format!("expected {expected}")));
    }
    if let Some(hint) = &fault.hint {
        group = group.element(Level::HELP.message(hint.clone()));
    }
    renderer.render(&[group])
}

/// Every fault in one line each, for programs: `file:line:col: key: message`.
#[must_use]
pub(crate) fn list(faults: &[Fault]) -> serde_json::Value {
    faults
        .iter()
        .map(|f| {
            serde_json::json!({
                "file": f.place.as_ref().map(|p| &p.file),
                "line": f.place.as_ref().map(|p| p.line),
                "column": f.place.as_ref().map(|p| p.column),
                "key": f.key,
                "message": f.message,
                "found": f.found,
                "expected": f.expected,
                "hint": f.hint,
            })
        })
        .collect()
}
