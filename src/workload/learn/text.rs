//! What was learnt, as tables for a terminal.

use super::demand::{PerSide, Ratio};
use super::{Arrivals, Distribution, Learnt};
use std::fmt::Write;

impl Learnt {
    /// Tables for a terminal: sizes, quantiles, correlation, arrivals, growth, and every family's distance.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{} requests ({:?}), {} rows left out, {} out of order\n", self.requests, self.format, self.skipped, self.unsorted);
        tokens(&mut out, self);
        out.push('\n');
        let shown = |r: Option<f64>| r.map_or("n/a".to_owned(), |r| format!("{r:.2}"));
        let _ = writeln!(out, "input and output: Pearson {}, Spearman {}", shown(self.pearson), shown(self.spearman));
        if self.shared_prefix > 0.0 {
            let _ = writeln!(out, "prefix: {:.1} % of input tokens stood in an earlier request too", self.shared_prefix * 100.0);
        }
        match &self.arrivals {
            Some(a) => arrivals(&mut out, a),
            None => out.push_str("arrivals: the recording has no instants; only lengths can be learnt\n"),
        }
        out.push_str("\nfamilies fitted by maximum likelihood (KS: largest distance of the distribution functions)\n");
        families(&mut out, "input tokens", &self.input, "empirical table");
        families(&mut out, "output tokens", &self.output, "empirical table");
        if let Some(a) = &self.arrivals {
            families(&mut out, "gaps above 0", &a.gaps, "recorded instants");
        }
        out
    }
}

/// Figures of both columns, side by side.
fn tokens(out: &mut String, learnt: &Learnt) {
    let (input, output) = (&learnt.input, &learnt.output);
    let _ = writeln!(out, "\n{:<12}{:>12}{:>12}", "tokens", "input", "output");
    let mut line = |name: &str, x: f64, y: f64, decimals: usize| {
        let _ = writeln!(out, "{name:<12}{x:>12.decimals$}{y:>12.decimals$}");
    };
    line("mean", input.mean, output.mean, 1);
    line("sd", input.sd, output.sd, 1);
    line("CV", input.cv, output.cv, 2);
    line("skewness", input.skewness, output.skewness, 2);
    line("min", input.min, output.min, 0);
    for (x, y) in input.quantiles.iter().zip(&output.quantiles) {
        // 0.999 x 100 is 99.90000000000001 in binary.
        line(&format!("p{}", (x.q * 1e6).round() / 1e4), x.value, y.value, 0);
    }
    line("max", input.max, output.max, 0);
    for (name, side) in [("input", input), ("output", output)] {
        if side.commonest.share >= 0.02 {
            let _ = writeln!(out, "{:.1} % of {name} values are exactly {:.0}", side.commonest.share * 100.0, side.commonest.value);
        }
    }
}

fn arrivals(out: &mut String, a: &Arrivals) {
    let _ = writeln!(
        out,
        "arrivals: {:.3} a second over {:.1} min, CV of the gaps {:.2} (1: independent), {:.1} % of the gaps are zero",
        a.rate,
        a.span_s / 60.0,
        a.gap_cv,
        a.zero_gaps * 100.0
    );
    let or_na = |v: Option<f64>, decimals: usize| v.map_or("n/a".to_owned(), |v| format!("{v:.decimals$}"));
    let windows: Vec<String> = a.dispersion.iter().map(|d| format!("{} at {} s", or_na(d.index, 1), d.window_s)).collect();
    let _ = writeln!(out, "index of dispersion (1: constant rate): {}", windows.join(", "));
    if let (Some(first), Some(last)) = (a.dispersion.first().and_then(|d| d.index), a.dispersion.last().and_then(|d| d.index))
        && last > 2.0 * first.max(1.0)
    {
        out.push_str(
            "  it grows with the window: the rate itself drifts, which no distribution of gaps can show; replay the trace or use a rate function\n",
        );
    }
    let _ = writeln!(out, "\n{:<34}{:>14}{:>14}{:>14}", "demand", "requests", "input", "output");
    let peak = &a.peak_to_mean;
    let _ = writeln!(out, "{:<34}{:>14}{:>14}{:>14}", "fullest minute / mean", or_na(peak.requests, 2), or_na(peak.input, 2), or_na(peak.output, 2));
    for growth in &a.growth {
        let PerSide { requests, input, output } = growth.ratio;
        let name = format!("grows within {} min, p95 / p99", growth.delay_min);
        let _ = writeln!(out, "{name:<34}{:>14}{:>14}{:>14}", ratio(requests), ratio(input), ratio(output));
    }
    if a.growth.iter().any(|g| f64::from(g.delay_min) * 60.0 * 20.0 > a.span_s) {
        out.push_str("  the recording is shorter than 20 of the longest delays: few independent instants stand behind these percentiles\n");
    }
}

fn ratio(ratio: Option<Ratio>) -> String {
    ratio.map_or("n/a".to_owned(), |r| format!("{:.2} / {:.2}", r.p95, r.p99))
}

fn families(out: &mut String, name: &str, d: &Distribution, empirical: &str) {
    if d.fits.is_empty() {
        let _ = writeln!(out, "{name:<14} too few values");
        return;
    }
    let mut fits: Vec<_> = d.fits.iter().collect();
    fits.sort_by(|a, b| a.ks.total_cmp(&b.ks));
    let listed: Vec<String> = fits.iter().map(|f| format!("{} {:.3}", f.family.name(), f.ks)).collect();
    let _ = writeln!(out, "{name:<14} {}   (n = {}, 5 % critical value {:.4})", listed.join("  "), d.n, d.ks_critical);
    let verdict = match d.best_fit() {
        Some(best) if d.is_fitted() => {
            let parameters: Vec<String> = best.parameters.iter().map(|(name, value)| format!("{name} = {value:.4}")).collect();
            format!("{} cannot be told from the recording: {}", best.family.name(), parameters.join(", "))
        }
        best => {
            let nearest = best.map_or(String::new(), |f| format!(" (nearest: {}, off by up to {:.1} %)", f.family.name(), f.ks * 100.0));
            format!("every parametric fit is poor: use the {empirical}{nearest}")
        }
    };
    let _ = writeln!(out, "{:<14} {verdict}", "");
}

#[cfg(test)]
mod tests {
    use super::super::{learn, tests::poisson};
    use crate::workload::trace::Rows;

    #[test]
    fn the_tables_hold_the_figures_and_an_honest_verdict() {
        let text = learn(&poisson(5000)).text();
        for part in ["p99.9", "Spearman", "index of dispersion", "grows within 10 min", "cannot be told from the recording", "5000 requests"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let mut two_humps = poisson(5000);
        two_humps.rows.iter_mut().for_each(|r| r.input_tokens = if r.input_tokens % 3 == 0 { 4000 } else { 100 });
        let text = learn(&two_humps).text();
        assert!(text.contains("every parametric fit is poor: use the empirical table") && text.contains("exactly 100"), "{text}");
    }

    #[test]
    fn nothing_is_told_of_nothing() {
        let text = learn(&Rows::default()).text();
        assert!(text.contains("too few values") && text.contains("no instants") && !text.contains("NaN"), "{text}");
    }
}
