//! Messages on stderr.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    io::{self, Write},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::filter_fn,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use swiftwal_postgres::is_misleading;

use crate::message::chain_of_any;

/// Writes `swiftwal: message` to stderr. A closed stderr isn't a failure.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    // In one write, so that messages of several processes aren't mixed in the server's log.
    drop(io::stderr().write_all(format!("swiftwal: {}\n", harmless(&message.to_string())).as_bytes()));
}

/// The libraries beneath HTTP. Their messages about pools and sockets would hide the requests, which the backends log.
const BENEATH_HTTP: [&str; 8] = ["h2", "hyper", "hyper_util", "mio", "reqwest", "rustls", "tower", "want"];

/// Writes events to stderr: warnings; with `-v` also what is being done; with `-vv` also each request.
pub(crate) fn to_stderr(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // This fails only if the program has installed its own subscriber, which is then used.
    drop(
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .event_format(Plain)
            .finish()
            .with(filter_fn(|metadata| {
                let library = metadata.target().split("::").next().unwrap_or_default();
                *metadata.level() <= Level::WARN || !BENEATH_HTTP.contains(&library)
            }))
            .try_init(),
    );
}

/// The format `swiftwal: message`: the server's log or journald adds time and host.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let warning = if *event.metadata().level() == Level::WARN { "warning: " } else { "" };
        let mut text = Text::default();
        event.record(&mut text);
        let line = format!("{}{}{}", text.message, text.details, text.cause);
        writeln!(writer, "swiftwal: {warning}{}", harmless(&line))
    }
}

/// Escapes everything in a message that a terminal would execute, in case text from outside got into it unescaped. Line
/// breaks stay, and the lines after the first are indented, so that none looks like a separate message.
fn harmless(message: &str) -> Cow<'_, str> {
    let acts = |character: char| is_misleading(character) && character != '\t';
    if !message.contains(acts) {
        return Cow::Borrowed(message);
    }
    let mut text = String::new();
    for (number, line) in message.split('\n').enumerate() {
        if number > 0 {
            text.push('\n');
        }
        if number > 0 && !line.is_empty() && !line.starts_with(char::is_whitespace) {
            text.push_str("  ");
        }
        for character in line.chars() {
            match acts(character) {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
    }
    Cow::Owned(text)
}

/// The text of an event: its message, then its other fields, and last its error: `can't store it, directory /x: no
/// space`.
#[derive(Default)]
struct Text {
    message: String,
    details: String,
    cause: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: &dyn fmt::Display) {
        match field.name() {
            "message" => self.message = value.to_string(),
            "error" => self.cause = format!(": {value}"),
            name => self.details.push_str(&format!(", {name} {value}")),
        }
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, &chain_of_any(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_carries_no_escape_sequence_to_the_terminal() {
        assert_eq!(
            harmless("can't read \u{1b}[2Jx\u{9b}: no access\n\tno"),
            "can't read \\u{1b}[2Jx\\u{9b}: no access\n\tno"
        );
        assert!(matches!(harmless("plain Übernahme"), Cow::Borrowed(_)));
        assert_eq!(harmless("gnp\u{202e}exe"), "gnp\\u{202e}exe");
    }

    #[test]
    fn a_line_break_in_foreign_text_begins_no_message_of_ours() {
        assert_eq!(
            harmless("the server says: x\nswiftwal: backup ok\n"),
            "the server says: x\n  swiftwal: backup ok\n"
        );
        assert_eq!(harmless("branches:\n  1\n\n\t2"), "branches:\n  1\n\n\t2");
    }
}
