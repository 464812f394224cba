//! Values to text: HTML, SVG, terminal, Markdown, JUnit. Writes nothing itself.
