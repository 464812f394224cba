//! Learning from recordings whose truth is known.

use super::learn::learn_with;
use super::matching::Effort;
use super::series::mean_known;
use super::*;
use crate::base::stats::sample::mean_variance;
use crate::workload::trace::{Rates, Rows};

/// Enough for a test in a build without optimisation.
const QUICK: Effort = Effort { days: 14, trials: 30, sets: 60 };

/// A service whose weekends are half as busy, with a wave over the day.
fn truth() -> Law {
    let wave = |low: f64| (0..144).map(|i| 0.8 * ((f64::from(i) / 144.0 - 0.25) * std::f64::consts::TAU).sin() + low).collect();
    Law {
        level: 3.0,
        classes: [0, 0, 0, 0, 0, 1, 1],
        profiles: vec![wave(0.0), wave(-0.7)],
        growth_per_day: 0.0,
        day_sigma: 0.12,
        residual: Residual { sigma: 0.08, memory_s: 3600.0 },
        shots: Shots { per_day: 6.0, height: 0.4, hold_s: 1200.0 },
    }
}

fn model_of(law: Law) -> DemandModel {
    let shape = serde_json::from_value(serde_json::json!({ "shape": "flat", "mean": "1/s" })).unwrap();
    DemandModel { law, ..of_shape(&shape) }
}

/// Ten-minute means of `weeks` weeks drawn from a law.
fn drawn(law: &Law, weeks: u32, seed: u64) -> Series {
    let model = model_of(law.clone());
    let rates = (0..weeks).flat_map(|week| {
        let day = model.day(Seed(seed), week, Nanos::from_secs(7 * 86_400));
        day.rates.chunks(40).map(|c| c.iter().sum::<f64>() / 40.0).collect::<Vec<_>>()
    });
    Series { step_s: 600.0, start_s: 0.0, is_dated: true, rates: rates.collect() }
}

/// What is learnt from days that a law drew is that law, within the error of a few weeks.
#[test]
fn a_law_is_found_again_in_its_own_days() {
    let law = truth();
    for seed in [1] {
        let learnt = learn_with(&drawn(&law, 6, seed), About::default(), QUICK).unwrap();
        let ratio = learnt.law.mean_rate() / law.mean_rate();
        assert!((ratio - 1.0).abs() < 0.10, "seed {seed}: mean rate off by {ratio}");
        assert!((0.06..0.19).contains(&learnt.law.day_sigma), "seed {seed}: {}", learnt.law.day_sigma);
        let weekend = |law: &Law| (law.profile_at(6, 50_000.0) - law.profile_at(2, 50_000.0)).exp();
        assert!((weekend(&learnt.law) / weekend(&law) - 1.0).abs() < 0.15, "seed {seed}: {}", weekend(&learnt.law));
        let swing = |law: &Law| law.profile_at(2, 43_200.0) - law.profile_at(2, 0.0);
        assert!((swing(&learnt.law) - swing(&law)).abs() < 0.15, "seed {seed}: {}", swing(&learnt.law));
        // Residual and shots may trade places: the growth that they make together is what must be found again.
        for (quantile, tolerance) in [(0.95, 0.06), (0.99, 0.15)] {
            let (own, other) = (growth_of(&learnt.law, quantile), growth_of(&law, quantile));
            assert!((own / other - 1.0).abs() < tolerance, "seed {seed}: G(20 min) at {quantile}: {own} for {other}");
        }
        let logs: Vec<f64> = (0..learnt.draw_count() as u64).map(|b| learnt.resampled(b).law.mean_rate().ln()).collect();
        let spread = mean_variance(&logs).1.sqrt();
        assert!((0.01..0.06).contains(&spread), "seed {seed}: the level's error is about 0.15 / sqrt(42 days), not {spread}");
        assert!(learnt.check.as_ref().unwrap().holds && learnt.generator == Generator::Law, "seed {seed}: {:#?}", learnt.check);
    }
}

/// Growth within 20 minutes over ten weeks.
fn growth_of(law: &Law, quantile: f64) -> f64 {
    let mut ratios = super::moments::grown(&drawn(law, 10, 77).rates, 2);
    crate::base::stats::sample::sort(&mut ratios);
    crate::base::stats::sample::quantile_sorted(&ratios, quantile).unwrap()
}

/// Days that become far burstier in the end are not those that the law draws: recorded days are drawn instead, whole days of their class.
#[test]
fn days_unlike_the_law_make_it_draw_recorded_days() {
    let calm = Law { residual: Residual { sigma: 0.03, memory_s: 3600.0 }, shots: Shots::default(), ..truth() };
    let wild = Law { residual: Residual { sigma: 0.5, memory_s: 1200.0 }, ..truth() };
    let mut series = drawn(&calm, 1, 5);
    series.rates.extend(drawn(&wild, 1, 6).rates);
    let learnt = learn_with(&series, About::default(), QUICK).unwrap();
    assert!(!learnt.check.as_ref().unwrap().holds);
    let Generator::Days(days) = &learnt.generator else { panic!("{:?}", learnt.check) };
    assert_eq!(days.days.len(), 14);
    assert!(learnt.notes.iter().any(|n| n.contains("block bootstrap")) && learnt.text().contains("APART"));
    let day = learnt.day(Seed(1), 0, Nanos::from_secs(86_400));
    let noon = day.rates[2880];
    assert!(days.days.iter().any(|d| (0.5 * (d.rates[71] + d.rates[72]) / noon - 1.0).abs() < 0.02), "noon is some recorded noon: {noon}");
    let mean = |model: &DemandModel| (0..200).map(|i| model.day(Seed(3), i, Nanos::from_secs(86_400)).expected() / 86_400.0).sum::<f64>() / 200.0;
    assert!((mean(&learnt) / mean_known(&series.rates) - 1.0).abs() < 0.08);
    assert_ne!(learnt.resampled(0).generator, learnt.resampled(1).generator);
}

#[test]
fn growth_is_found_where_it_is_clear_and_left_out_where_it_is_not() {
    let growing = Law { growth_per_day: 0.03, day_sigma: 0.05, ..truth() };
    let mut series = drawn(&truth(), 0, 1);
    // Growth runs through a period; three weeks in one.
    let day = model_of(growing).day(Seed(4), 0, Nanos::from_secs(21 * 86_400));
    series.rates = day.rates.chunks(40).map(|c| c.iter().sum::<f64>() / 40.0).collect();
    let learnt = learn_with(&series, About::default(), QUICK).unwrap();
    assert!((learnt.law.growth_per_day - 0.03).abs() < 0.012, "{}", learnt.law.growth_per_day);
    let last_week = mean_known(&series.rates[14 * 144..]);
    assert!((learnt.law.mean_rate() / (last_week * (3.5 * 0.03_f64).exp()) - 1.0).abs() < 0.15, "the level is that of the end");
    let steady = Law { day_sigma: 0.2, ..truth() };
    assert_eq!(learn_with(&drawn(&steady, 3, 2), About::default(), QUICK).unwrap().law.growth_per_day, 0.0);
}

#[test]
fn less_than_a_day_is_refused_and_one_day_says_what_it_cannot_know() {
    let mut series = drawn(&truth(), 1, 3);
    series.rates.truncate(100);
    let why = learn_with(&series, About::default(), QUICK).unwrap_err().to_string();
    assert!(why.contains("16.7 h") && why.contains("one day at least"), "{why}");
    let mut series = drawn(&truth(), 1, 3);
    series.rates.truncate(144);
    let learnt = learn_with(&series, About::default(), QUICK).unwrap();
    assert!(learnt.check.is_none() && learnt.law.day_sigma > 0.1);
    assert!(learnt.notes.iter().any(|n| n.contains("one day is recorded")), "{:?}", learnt.notes);
}

/// Requests of a recorded day and a half, with an hour cut out by noon.
fn requests(cut: bool) -> Rows {
    let day = Day { bin_s: 15.0, rates: vec![0.6; 8640], dispersion: 0.3, strata: vec![0; 8640], seed: Seed(8) };
    let mut dues = Vec::new();
    (0..8640).for_each(|bin| arrivals(&day, bin, 1, &mut dues));
    let kept = |at: Nanos| !(cut && (43_200.0..46_800.0).contains(&at.as_secs_f64()));
    let row =
        |d: &Due| Row { at: Some(d.at), input_tokens: 100, output_tokens: if d.at.as_secs_f64() % 86_400.0 < 43_200.0 { 10 } else { 50 }, blocks: 0 };
    // 2024-05-10 was a Friday.
    Rows { rows: dues.iter().filter(|d| kept(d.at)).map(row).collect(), origin_ns: Some(1_715_299_200_000_000_000), ..Rows::default() }
}

#[test]
fn a_silence_is_masked_and_told_and_does_not_lower_the_rate() {
    let (series, about) = of_requests(&requests(true), &Said::default()).unwrap();
    assert_eq!((series.step_s, series.start_s, series.is_dated), (300.0, 4.0 * DAY_S, true));
    assert_eq!(series.rates.iter().filter(|x| x.is_nan()).count(), 13, "an hour, and the last step");
    assert!((series.mean() / 0.6 - 1.0).abs() < 0.03, "{}", series.mean());
    assert!(about.notes[0].contains("60.0 min and begins at 12:00"), "{:?}", about.notes);
    let (whole, about) = of_requests(&requests(false), &Said::default()).unwrap();
    assert_eq!(whole.rates.iter().filter(|x| x.is_nan()).count(), 1);
    assert!(about.notes.is_empty(), "{:?}", about.notes);
    assert!((about.dispersion - 0.3).abs() < 0.06, "{}", about.dispersion);
}

#[test]
fn lengths_that_differ_by_the_hour_are_kept_apart() {
    let (_, about) = of_requests(&requests(false), &Said::default()).unwrap();
    let (morning, evening) = (about.lengths.stratum_at(3.0 * 3600.0), about.lengths.stratum_at(20.0 * 3600.0));
    assert!(about.lengths.rows(morning).iter().all(|r| r.output_tokens == 10));
    assert!(about.lengths.rows(evening).iter().all(|r| r.output_tokens == 50));
    let mut alike = requests(false);
    alike.rows.iter_mut().enumerate().for_each(|(i, r)| r.output_tokens = 1 + u32::try_from(i % 7).unwrap());
    assert_eq!(of_requests(&alike, &Said::default()).unwrap().1.lengths.strata_count(), 1);
}

#[test]
fn refused_requests_count_and_a_plateau_is_told_and_lifted() {
    let mut rows = requests(false);
    let before = of_requests(&rows, &Said::default()).unwrap().0.mean();
    rows.throttled = rows.rows.iter().step_by(4).filter_map(|r| r.at).collect();
    let (series, about) = of_requests(&rows, &Said::default()).unwrap();
    assert!((series.mean() / before - 1.25).abs() < 0.01 && about.notes.iter().any(|n| n.contains("429 count as demand")));
    // A service cut off at 100 a second for two hours each day.
    let rate = |i: usize| if (60..72).contains(&(i % 144)) { 100.0 } else { 40.0 + (i % 7) as f64 };
    let rates = Rates { windows: (0..288).map(|i| (i as f64 * 600.0, rate(i))).collect(), skipped: 0 };
    let (_, about) = of_rates(&rates, None, &Said::default());
    assert!(about.notes.iter().any(|n| n.contains("24 steps") && n.contains("--throttled-share")), "{:?}", about.notes);
    let (lifted, _) = of_rates(&rates, None, &Said { throttled_share: 0.1, ..Said::default() });
    let total: f64 = rates.windows.iter().map(|w| w.1).sum();
    assert!((lifted.rates.iter().sum::<f64>() / total - 1.0 / 0.9).abs() < 1e-9);
    assert_eq!(lifted.rates[0], 40.0, "what was not cut off stays");
}

#[test]
fn absent_windows_are_gaps_and_odd_windows_are_read_off() {
    let windows = (0..300).filter(|i| !(100..106).contains(i)).map(|i| (f64::from(i) * 600.0, 5.0)).collect();
    let (series, about) = of_rates(&Rates { windows, skipped: 0 }, None, &Said::default());
    assert_eq!(series.rates.iter().filter(|x| x.is_nan()).count(), 6);
    assert!((series.mean() - 5.0).abs() < 1e-12 && about.notes.iter().any(|n| n.contains("6 of 300 steps are absent")));
    let windows = (0..400).map(|i| (f64::from(i) * 432.0, f64::from(i))).collect();
    let (series, _) = of_rates(&Rates { windows, skipped: 0 }, None, &Said::default());
    assert_eq!(series.step_s, 600.0);
    // A straight line stays one: half a window and half a step lie between the beginnings and the middles.
    assert!(series.rates.windows(2).skip(1).take(250).all(|w| (w[1] - w[0] - 600.0 / 432.0).abs() < 1e-9));
}
