//! A fuzzing target: it must not panic, whatever the bytes are.

use super::{Problem, SettingNames, collect, lines, text, toml};

/// Reads the bytes as a configuration file, in both forms.
pub fn configuration(bytes: &[u8]) {
    let names = SettingNames::of(&swiftwal_backends::registry());
    let line_count = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let check = |Problem { line, problem }| {
        assert!((1..=line_count + 1).contains(&line), "line {line} of {line_count}: {problem}");
    };
    let text = match text(bytes) {
        Ok(text) => text,
        Err(problem) => return check(problem),
    };
    let _ = lines::looks_like_lines(text);
    for parse in [lines::parse, toml::parse] {
        match parse(text, &names) {
            Ok(parsed) => {
                let _ = parsed.skipped.notice();
                drop(collect("/etc/swiftwal.conf".into(), false, parsed.entries));
            }
            Err(problem) => check(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_configuration_file_is_read_or_refused() {
        swiftwal_mutation::check("configuration", super::configuration);
    }
}
