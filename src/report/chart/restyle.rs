//! From the colours that plotters must have to style classes: each ink travels as a colour of its own and comes out as a class.

use super::Ink;
use plotters::style::RGBColor;
use std::fmt::Write as _;

/// The colour that stands for an ink on its way through plotters.
pub(super) fn ink_color(ink: Ink) -> RGBColor {
    let code = Ink::ALL.iter().position(|i| *i == ink).and_then(|i| u8::try_from(i + 1).ok()).unwrap_or(0);
    RGBColor(code, 0, 0)
}

fn ink_of(color: &str) -> Option<Ink> {
    let code = usize::from_str_radix(color.strip_prefix('#')?.get(..2)?, 16).ok()?;
    Ink::ALL.get(code.checked_sub(1)?).copied()
}

/// The elements inside plotters' `svg` element, with classes for colours; fonts and widths are left to the style sheet.
///
/// plotters writes one tag a line and escapes text, so that a line that begins with `<` is a tag, and quotes occur around attribute values only.
pub(super) fn restyle(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for line in raw.lines() {
        match line {
            l if l.starts_with("<svg") || l.starts_with("</svg") => continue,
            l if l.starts_with("</") || !l.starts_with('<') => out.push_str(l),
            tag => restyle_tag(tag, &mut out),
        }
        if line.starts_with("</") || line.ends_with("/>") {
            out.push('\n');
        }
    }
    out
}

fn restyle_tag(tag: &str, out: &mut String) {
    let inner = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
    let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
    let mut class = String::new();
    let mut kept = String::new();
    let mut rest = attributes;
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        rest = after;
        match key.trim() {
            "opacity" | "font-family" | "font-size" => {}
            "stroke-width" => {
                // A mark that is not one unit wide is a cross or a ring.
                if value != "1" {
                    class.push_str(if name == "circle" { " r" } else { " c" });
                }
            }
            paint @ ("fill" | "stroke") => {
                if let Some(ink) = ink_of(value) {
                    class.insert_str(0, ink.class());
                    if paint == "fill" && matches!(name, "circle" | "rect" | "polygon") && ink.class().starts_with('k') {
                        class.push_str(" m");
                    }
                }
            }
            "points" => {
                let _ = write!(kept, " points=\"{}\"", value.trim_end());
            }
            key => {
                let _ = write!(kept, " {key}=\"{value}\"");
            }
        }
    }
    let end = if tag.ends_with("/>") { "/>" } else { ">" };
    let _ = write!(out, "<{name} class=\"{class}\"{kept}{end}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_nothing_else_is_lost() {
        let raw = "<svg width=\"4\">\n<polyline fill=\"none\" opacity=\"1\" stroke=\"#020000\" stroke-width=\"1\" points=\"1,2 3,4 \"/>\n<text x=\"1\" opacity=\"1\" fill=\"#100000\">\na &lt; b\n</text>\n</svg>\n";
        assert_eq!(restyle(raw), "<polyline class=\"k2\" points=\"1,2 3,4\"/>\n<text class=\"kt\" x=\"1\">a &lt; b</text>\n");
    }

    #[test]
    fn every_ink_comes_back() {
        for ink in Ink::ALL {
            let RGBColor(r, g, b) = ink_color(ink);
            assert_eq!(ink_of(&format!("#{r:02X}{g:02X}{b:02X}")), Some(ink));
        }
    }
}
