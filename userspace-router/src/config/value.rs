// SPDX-License-Identifier: GPL-2.0
//! Single values of the file: one of several words, a number within a range.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::place::Fault;

pub(super) fn choose_or<T: Clone>(
    value: &Option<Spanned<String>>,
    default: T,
    choices: &[(&str, T)],
) -> Result<T, Fault> {
    value
        .as_ref()
        .map_or(Ok(default), |value| choose(value, choices))
}

pub(super) fn choose<T: Clone>(value: &Spanned<String>, choices: &[(&str, T)]) -> Result<T, Fault> {
    let found = choices.iter().find(|(name, _)| name == value.get_ref());
    found.map(|(_, choice)| choice.clone()).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let text = format!("`{}` must be one of {}", value.get_ref(), names.join(", "));
        Fault::at(value.span(), text)
    })
}

/// Milliseconds of the longest time that can be set.
pub(super) const DAY: i64 = 86_400_000;

pub(super) fn number(
    value: Option<&Spanned<i64>>,
    default: u64,
    range: RangeInclusive<i64>,
) -> Result<u64, Fault> {
    let Some(value) = value else {
        return Ok(default);
    };
    let number = *value.get_ref();
    if range.contains(&number) {
        return Ok(number.unsigned_abs());
    }
    let text = format!(
        "{number} must be between {} and {}",
        range.start(),
        range.end()
    );
    Err(Fault::at(value.span(), text))
}

/// Of what this says each of `threads` has to get one at least.
pub(super) fn one_for_each(value: Option<&Spanned<i64>>, threads: u32) -> Result<(), Fault> {
    match value {
        Some(value) if *value.get_ref() < threads.into() => {
            let number = value.get_ref();
            let text = format!("{number} is less than one for each of {threads} threads");
            Err(Fault::at(value.span(), text))
        }
        _ => Ok(()),
    }
}
