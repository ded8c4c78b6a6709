//! Answers in the form of a monitoring plugin, for Nagios, Icinga and others: one line of text with performance data, and an
//! exit code. The ranges of thresholds are those of the Monitoring Plugins Development Guidelines.

use std::{collections::BTreeMap, fmt, str::FromStr};

use thiserror::Error;

use crate::values::duration;

/// The name of the service, at the beginning of each line.
const SERVICE: &str = "SWIFTWAL";

/// The state of a service, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Ok,
    Warning,
    Critical,
    /// It couldn't be looked at.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// A figure that has thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    /// Its name in thresholds and performance data.
    pub(crate) name: &'static str,
    /// Whether it is a time span.
    pub(crate) is_span: bool,
}

/// What was found out about a figure.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) figure: Figure,
    /// The value; the seconds of a time span. None for one that has never begun, which is beyond every limit.
    pub(crate) value: Option<f64>,
    /// The value in words.
    pub(crate) words: String,
}

/// The values for which there is an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    /// The least value; none for minus infinity.
    start: Option<f64>,
    /// The largest value; none for infinity.
    end: Option<f64>,
    /// Whether the alert is for the values from `start` to `end`, and not for all others.
    is_inside: bool,
}

/// The ranges of some figures: `backup-age=26h,holes=0`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Thresholds(BTreeMap<&'static str, Range>);

/// A threshold that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ThresholdError {
    #[error("'{text}' is not a threshold; give NAME=RANGE, such as {name}={example}")]
    Form { text: String, name: &'static str, example: &'static str },
    #[error("there is no threshold '{name}'; the names are: {known}")]
    Name { name: String, known: String },
    #[error(
        "'{range}' is not a range for {name}; give the largest good value, such as {example}, or START:END, ~:END or START:"
    )]
    Range { range: String, name: &'static str, example: &'static str },
}

impl Figure {
    fn example(self) -> &'static str {
        if self.is_span { "26h" } else { "20" }
    }
}

impl Thresholds {
    /// Parses thresholds for some of these figures.
    pub(crate) fn parse(text: &str, figures: &[Figure]) -> Result<Self, ThresholdError> {
        let mut thresholds = BTreeMap::new();
        for text in text.split(',') {
            let Some((name, range)) = text.split_once('=') else {
                let first = figures.first().copied().unwrap_or(Figure { name: "NAME", is_span: false });
                let (name, example) = (first.name, first.example());
                return Err(ThresholdError::Form { text: text.to_owned(), name, example });
            };
            let Some(figure) = figures.iter().find(|figure| figure.name == name) else {
                let known: Vec<_> = figures.iter().map(|figure| figure.name).collect();
                return Err(ThresholdError::Name { name: name.to_owned(), known: known.join(", ") });
            };
            let Some(parsed) = Range::parse(range, figure.is_span) else {
                let (name, example) = (figure.name, figure.example());
                return Err(ThresholdError::Range { range: range.to_owned(), name, example });
            };
            thresholds.insert(figure.name, parsed);
        }
        Ok(Self(thresholds))
    }

    /// Whether there is a threshold for this figure.
    pub(crate) fn names(&self, figure: Figure) -> bool {
        self.0.contains_key(figure.name)
    }

    fn is_exceeded(&self, reading: &Reading) -> bool {
        self.0.get(reading.figure.name).is_some_and(|range| range.alerts(reading.value))
    }

    fn shown(&self, figure: Figure) -> String {
        self.0.get(figure.name).map(ToString::to_string).unwrap_or_default()
    }
}

impl Range {
    fn parse(text: &str, is_span: bool) -> Option<Self> {
        let value = |text: &str| value(text, is_span);
        let (text, is_inside) = match text.strip_prefix('@') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let range = match text.split_once(':') {
            None => Self { start: Some(0.0), end: Some(value(text)?), is_inside },
            Some((start, end)) => {
                let start = if start == "~" { None } else { Some(value(start)?) };
                let end = if end.is_empty() { None } else { Some(value(end)?) };
                Self { start, end, is_inside }
            }
        };
        let is_empty = range.start.zip(range.end).is_some_and(|(start, end)| start > end);
        (!is_empty).then_some(range)
    }

    /// Whether there is an alert for a value; none stands for infinity.
    fn alerts(&self, value: Option<f64>) -> bool {
        let value = value.unwrap_or(f64::INFINITY);
        let is_within =
            self.start.is_none_or(|start| start <= value) && self.end.is_none_or(|end| value <= end);
        is_within == self.is_inside
    }
}

/// Parses a limit: a number, or the seconds of a duration, in which `m` means minutes, as in other plugins.
fn value(text: &str, is_span: bool) -> Option<f64> {
    if !is_span {
        return f64::from_str(text).ok().filter(|value| value.is_finite());
    }
    let in_minutes = text.strip_suffix('m').map(|number| format!("{number}min"));
    duration(in_minutes.as_deref().unwrap_or(text)).ok().map(|duration| duration.as_secs_f64())
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_inside {
            f.write_str("@")?;
        }
        match (self.start, self.end) {
            (Some(0.0), Some(end)) => write!(f, "{end}"),
            (start, end) => {
                match start {
                    Some(start) => write!(f, "{start}:")?,
                    None => f.write_str("~:")?,
                }
                end.map_or(Ok(()), |end| write!(f, "{end}"))
            }
        }
    }
}

/// Returns the state and the line for these readings. `troubles` are what is wrong whatever the thresholds are.
pub(crate) fn answer(
    readings: &[Reading],
    troubles: &[(State, String)],
    warning: &Thresholds,
    critical: &Thresholds,
) -> (State, String) {
    let state_of = |reading: &Reading| match (critical.is_exceeded(reading), warning.is_exceeded(reading)) {
        (true, _) => State::Critical,
        (false, true) => State::Warning,
        (false, false) => State::Ok,
    };
    let judged = readings.iter().map(|reading| (state_of(reading), reading.words.clone()));
    let mut parts: Vec<_> = troubles.iter().cloned().chain(judged).collect();
    // Stable: of equal states, the first reading comes first. What is known to be wrong counts more than what isn't known.
    let rank = |state: State| {
        [State::Ok, State::Unknown, State::Warning, State::Critical].iter().position(|s| *s == state)
    };
    parts.sort_by_key(|(state, _)| std::cmp::Reverse(rank(*state)));
    let state = parts.first().map_or(State::Ok, |(state, _)| *state);
    let words: Vec<_> = parts.into_iter().map(|(_, words)| words).collect();
    let figures: Vec<_> = readings.iter().map(|reading| performance(reading, warning, critical)).collect();
    (state, format!("{} | {}", line(state, &words.join(", ")), figures.join(" ")))
}

/// Returns the beginning of an answer, which is all of one without performance data.
pub(crate) fn line(state: State, text: &str) -> String {
    let harmless = |character: char| match character {
        '|' => '/',
        other if other.is_control() => ' ',
        other => other,
    };
    format!("{SERVICE} {state} - {}", text.chars().map(harmless).collect::<String>())
}

fn performance(reading: &Reading, warning: &Thresholds, critical: &Thresholds) -> String {
    let Reading { figure, value, .. } = reading;
    let unit = if figure.is_span { "s" } else { "" };
    let value = value.map_or_else(|| "U".to_owned(), |value| format!("{value}{unit}"));
    format!("{}={value};{};{};0", figure.name, warning.shown(*figure), critical.shown(*figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Figure = Figure { name: "backup-age", is_span: true };
    const HOLES: Figure = Figure { name: "holes", is_span: false };

    fn thresholds(text: &str) -> Thresholds {
        Thresholds::parse(text, &[AGE, HOLES]).unwrap()
    }

    fn readings(age: Option<f64>, holes: f64) -> [Reading; 2] {
        [
            Reading { figure: AGE, value: age, words: "the backup is old".to_owned() },
            Reading { figure: HOLES, value: Some(holes), words: "some holes".to_owned() },
        ]
    }

    #[test]
    fn a_range_alerts_for_what_the_guidelines_say() {
        for (range, alerts, quiet) in [
            ("10", &[-1.0, 11.0][..], &[0.0, 10.0][..]),
            ("10:", &[9.0], &[10.0, 1e9]),
            ("~:10", &[11.0], &[-1e9, 10.0]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 20.0], &[9.0, 21.0]),
        ] {
            let parsed = Range::parse(range, false).unwrap();
            assert!(alerts.iter().all(|value| parsed.alerts(Some(*value))), "{range}");
            assert!(!quiet.iter().any(|value| parsed.alerts(Some(*value))), "{range}");
            assert_eq!(parsed.to_string(), range);
        }
        for wrong in ["", "x", "20:10", ":", "10:x", "NaN", "@"] {
            assert_eq!(Range::parse(wrong, false), None, "{wrong}");
        }
    }

    #[test]
    fn a_limit_of_a_time_span_has_a_unit() {
        for (range, seconds) in
            [("26h", "93600"), ("15m", "900"), ("15min", "900"), ("8d", "691200"), ("1h:2h", "3600:7200")]
        {
            assert_eq!(Range::parse(range, true).unwrap().to_string(), seconds);
        }
        assert_eq!(Range::parse("soon", true), None);
    }

    #[test]
    fn what_is_worst_comes_first_and_is_the_state() {
        let (warning, critical) = (thresholds("backup-age=26h,holes=0"), thresholds("backup-age=3d"));
        let answer = |age, holes, troubles: &[(State, String)]| {
            answer(&readings(age, holes), troubles, &warning, &critical)
        };
        assert_eq!(
            answer(Some(60.0), 0.0, &[]),
            (
                State::Ok,
                "SWIFTWAL OK - the backup is old, some holes | backup-age=60s;93600;259200;0 holes=0;0;;0"
                    .to_owned()
            )
        );
        let (state, line) = answer(Some(60.0), 2.0, &[]);
        assert_eq!(state, State::Warning);
        assert!(line.starts_with("SWIFTWAL WARNING - some holes, the backup is old | "), "{line}");
        let (state, line) = answer(None, 2.0, &[]);
        assert_eq!(state, State::Critical);
        assert!(line.ends_with(" | backup-age=U;93600;259200;0 holes=2;0;;0"), "{line}");
        let trouble = |state| [(state, "a|b\nc".to_owned())];
        assert!(
            answer(Some(60.0), 0.0, &trouble(State::Critical)).1.starts_with("SWIFTWAL CRITICAL - a/b c, ")
        );
        assert_eq!(answer(Some(60.0), 0.0, &trouble(State::Unknown)).0, State::Unknown);
        assert_eq!(answer(Some(60.0), 1.0, &trouble(State::Unknown)).0, State::Warning);
    }

    #[test]
    fn a_wrong_threshold_is_refused_with_what_would_do() {
        let error = |text| Thresholds::parse(text, &[AGE, HOLES]).unwrap_err().to_string();
        assert!(error("26h").contains("such as backup-age=26h"), "{}", error("26h"));
        assert!(error("age=26h").contains("the names are: backup-age, holes"), "{}", error("age=26h"));
        assert!(error("holes=many").contains("such as 20"), "{}", error("holes=many"));
    }
}
