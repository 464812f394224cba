//! A model in words and tables for a terminal.

use super::{DemandModel, Generator};
use std::fmt::Write;

impl DemandModel {
    /// What was learnt: level, days, growth, bursts, the check, and what a reader must know.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let (law, recorded) = (&self.law, &self.recorded);
        let _ = writeln!(
            out,
            "\ndemand: {:.3} requests a second on average over a week, from {} recorded days (time zone: {})",
            self.mean_rate(),
            recorded.days,
            recorded.time_zone
        );
        let classes = law.profiles.len();
        let _ = writeln!(
            out,
            "  weekdays in {classes} {}, growth {:+.2} % a day, day factor sigma {:.3}",
            if classes == 1 { "class" } else { "classes" },
            (law.growth_per_day.exp() - 1.0) * 100.0,
            law.day_sigma
        );
        let _ = writeln!(
            out,
            "  within a day: sigma {:.3} with a memory of {:.0} min; {:.1} ramps a day, {:.0} % high on average, {:.0} min long",
            law.residual.sigma,
            law.residual.memory_s / 60.0,
            law.shots.per_day,
            law.shots.height * 100.0,
            law.shots.hold_s / 60.0
        );
        let _ = writeln!(out, "  counts in 15 s: variance = mean + {:.4} mean^2; {} strata of lengths", self.dispersion, self.lengths.strata_count());
        if !self.day_factors.is_empty() {
            let shown: Vec<String> = self.day_factors.iter().map(|f| format!("{f:.2}")).collect();
            let peak = self.day_factors.iter().copied().fold(0.0, f64::max);
            let _ = writeln!(out, "  day factors: {} (highest {peak:.2}; 99 % of days below {:.2})", shown.join(" "), (2.326 * law.day_sigma).exp());
        }
        if !recorded.growth.is_empty() {
            let _ = writeln!(out, "\n{:<28}{:>10}{:>10}{:>10}", "growth G(D) in the recording", "p95", "p99", "highest");
            for g in &recorded.growth {
                let _ = writeln!(out, "{:<28}{:>10.2}{:>10.2}{:>10.2}", format!("within {:.0} min", g.delay_s / 60.0), g.p95, g.p99, g.highest);
            }
        }
        self.check_text(&mut out);
        for note in &self.notes {
            let _ = writeln!(out, "  note: {note}");
        }
        out
    }

    fn check_text(&self, out: &mut String) {
        let Some(check) = &self.check else { return };
        let _ = writeln!(
            out,
            "\nheld-out check: fitted to {} days, judged on {}{:>24}{:>26}",
            check.fitted_days, check.held_out_days, "held out (95 %)", "simulated (95 %)"
        );
        for r in &check.rows {
            let _ = writeln!(
                out,
                "{:<32}{:>8.2} ({:.2} to {:.2}){:>12.2} ({:.2} to {:.2})   {}",
                r.what,
                r.held_out,
                r.held_out_band[0],
                r.held_out_band[1],
                r.simulated,
                r.simulated_band[0],
                r.simulated_band[1],
                if r.holds { "overlap" } else { "APART" }
            );
        }
        let verdict = match self.generator {
            Generator::Law => "the law draws days like those it has not seen",
            Generator::Days(_) => "the law does not hold: days are drawn from the recorded ones (block bootstrap)",
        };
        let _ = writeln!(out, "  {verdict}");
    }
}
