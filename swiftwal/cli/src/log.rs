//! Messages to people, on stderr.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes `swiftwal: message` to stderr. A closed stderr is no reason to fail.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    // In one write, so that the messages of several processes don't mix in the server's log.
    drop(io::stderr().write_all(format!("swiftwal: {message}\n").as_bytes()));
}

/// Sends what the code traces to stderr: warnings, with `-v` what is being done, with `-vv` all.
pub(crate) fn to_stderr(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Only a program that has set up its own subscriber before makes this fail, and then that one is wanted.
    drop(
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .log_internal_errors(false)
            .event_format(Plain)
            .try_init(),
    );
}

/// `swiftwal: message`, and nothing else: time and host are what the server's log or journald adds.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let warning = if *event.metadata().level() == Level::WARN { "warning: " } else { "" };
        write!(writer, "swiftwal: {warning}")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
