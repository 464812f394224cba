//! Values to text: HTML, SVG, terminal, Markdown, JUnit. Writes nothing itself.

pub mod chart;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod number;
pub mod terminal;
pub mod verdict;
pub mod view;
