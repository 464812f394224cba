//! The model as a whole: keys, means, lengths, what-ifs, the file.

use super::*;
use crate::scenario::plan::{DemandShape, ShapeName};

fn shape(name: &str) -> DemandShape {
    serde_json::from_value(serde_json::json!({ "shape": name, "mean": "2/s", "peak_to_mean": 3.0 })).unwrap()
}

fn day_of(model: &DemandModel, seed: u64, index: u32) -> Day {
    model.day(Seed(seed), index, Nanos::from_secs(86_400))
}

#[test]
fn days_repeat_by_key_and_differ_by_seed_and_index() {
    let model = of_shape(&shape("consumer"));
    assert_eq!(day_of(&model, 1, 5), day_of(&model, 1, 5));
    assert_ne!(day_of(&model, 1, 5).rates, day_of(&model, 1, 6).rates);
    assert_ne!(day_of(&model, 1, 5).rates, day_of(&model, 2, 5).rates);
}

/// forall shapes: the mean over many weeks is the one asked for, and the profile's peak is.
#[test]
fn shapes_have_the_mean_and_the_peak_that_were_asked_for() {
    for name in [ShapeName::Office, ShapeName::Consumer, ShapeName::Batch, ShapeName::Flat] {
        let model = of_shape(&shape(name.name()));
        let week = Nanos::from_secs(7 * 86_400);
        let mean: f64 = (0..60).map(|i| model.day(Seed(3), i, week).expected()).sum::<f64>() / 60.0 / (7.0 * DAY_S);
        assert!((mean / 2.0 - 1.0).abs() < 0.03, "{name:?}: {mean}");
        assert!((model.mean_rate() - 2.0).abs() < 1e-4);
        let parts: Vec<f64> = (0..7 * 144).map(|i| model.law.profile_at(i / 144, (i % 144) as f64 * 600.0 + 300.0).exp()).collect();
        let ratio = parts.iter().copied().fold(0.0, f64::max) / (parts.iter().sum::<f64>() / parts.len() as f64);
        assert!(name == ShapeName::Flat || (ratio - 3.0).abs() < 0.02, "{name:?}: {ratio}");
    }
}

/// A lead-in has the rates of its period's beginning and other requests.
#[test]
fn a_lead_in_is_the_beginning_of_its_own_period() {
    let model = of_shape(&shape("office"));
    let (period, span) = (Nanos::from_secs(86_400), Nanos::from_secs(1000));
    for index in 0..20 {
        let (day, lead) = (model.day(Seed(4), index, period), model.lead(Seed(4), index, period, span));
        assert_eq!(lead.rates.len(), 67);
        assert!(lead.rates.iter().zip(&day.rates).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "period {index}");
        let (mut own, mut other) = (Vec::new(), Vec::new());
        arrivals(&day, 0, 1, &mut own);
        arrivals(&lead, 0, 1, &mut other);
        assert!(own.is_empty() || own != other);
    }
}

/// forall bins: as many requests as counted, in order, inside the bin, and the same again; their mean and variance are those of the law.
#[test]
fn requests_of_a_bin_follow_its_rate_and_dispersion() {
    for dispersion in [0.0, 0.2] {
        let day = Day { bin_s: 15.0, rates: vec![4.0; 4000], dispersion, strata: vec![0; 4000], seed: Seed(9) };
        let mut counts = Vec::new();
        let mut places = Vec::new();
        for bin in 0..day.rates.len() {
            let mut out = Vec::new();
            arrivals(&day, bin, 10, &mut out);
            assert_eq!(out.len(), count(&day, bin));
            let begin = bin as f64 * 15.0;
            assert!(out.windows(2).all(|w| w[0].at <= w[1].at));
            assert!(out.iter().all(|d| (begin - 1e-6..begin + 15.0).contains(&d.at.as_secs_f64()) && d.row < 10));
            places.extend(out.iter().map(|d| (d.at.as_secs_f64() - begin) / 15.0));
            counts.push(out.len() as f64);
        }
        let (mean, variance) = crate::base::stats::sample::mean_variance(&counts);
        let wanted = 60.0 + dispersion * 3600.0;
        assert!((mean / 60.0 - 1.0).abs() < 0.03, "{mean}");
        assert!((variance / wanted - 1.0).abs() < 0.12, "{variance} for {wanted}");
        crate::base::stats::sample::sort(&mut places);
        assert!(crate::base::stats::sample::ks_against(&places, |x| x) < 1.63 / (places.len() as f64).sqrt());
    }
}

#[test]
fn what_if_multiplies_rates_and_outputs() {
    let model = of_shape(&shape("flat"));
    let rows = vec![Row { at: None, input_tokens: 100, output_tokens: 10, blocks: 0 }];
    let model = DemandModel { lengths: LengthTable::pooled(rows), ..model };
    let event = Event { at_s: 3600.0, factor: 2.0, rise_s: 600.0, length_s: 7200.0 };
    let changed = model.scaled(&WhatIf { growth: 1.5, events: vec![event], output_scale: 1.26 });
    let (before, after) = (day_of(&model, 1, 0), day_of(&changed, 1, 0));
    let ratio = |second: usize| after.rates[second / 15] / before.rates[second / 15];
    for (second, factor) in [(0, 1.5), (3600 + 300, 2.25), (3600 + 3600, 3.0), (3600 + 7200 - 300, 2.25), (20_000, 1.5)] {
        assert!((ratio(second) - factor).abs() < 0.05, "{second}: {}", ratio(second));
    }
    assert_eq!(changed.lengths(0)[0].output_tokens, 13);
    assert!((changed.mean_rate() - 3.0).abs() < 1e-4);
}

#[test]
fn the_file_is_read_again_as_it_was_and_nonsense_is_refused() {
    let rows = (1..50).map(|i| Row { at: None, input_tokens: i, output_tokens: 2 * i, blocks: i / 3 }).collect();
    let model = DemandModel { lengths: LengthTable::pooled(rows), ..of_shape(&shape("office")) };
    let back = DemandModel::from_json(model.to_json().as_bytes()).unwrap();
    assert_eq!(back, model);
    let broken = |key: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(&model.to_json()).unwrap();
        *json.pointer_mut(key).unwrap() = value;
        DemandModel::from_json(json.to_string().as_bytes()).unwrap_err().to_string()
    };
    assert!(broken("/version", 9.into()).contains("version 9"));
    assert!(broken("/law/day_sigma", 7.into()).contains("day_sigma is 7"));
    assert!(broken("/law/classes", serde_json::json!([0, 0, 0, 0, 0, 0, 9])).contains("numbers of profiles"));
    assert!(DemandModel::from_json(b"{}").unwrap_err().to_string().contains("plimsoll learn"));
}

/// Outer draws of a stated error spread the level by it; the lengths and the shape stay.
#[test]
fn outer_draws_of_a_shape_spread_as_their_error_says() {
    let mut wanted = shape("office");
    wanted.error = crate::base::units::Share(0.1);
    let model = of_shape(&wanted);
    let levels: Vec<f64> = (0..model.draw_count() as u64).map(|b| model.resampled(b).mean_rate().ln()).collect();
    let (mean, variance) = crate::base::stats::sample::mean_variance(&levels);
    assert!((mean - 2.0_f64.ln()).abs() < 0.05 && (variance.sqrt() - 0.1).abs() < 0.04, "{mean} {variance}");
    assert_eq!(model.resampled(0), model.resampled(model.draw_count() as u64));
}
