//! Text in lines of limited width.

/// The most characters of a line.
const WIDTH: usize = 80;

/// Returns the lines of a paragraph. The first one is indented by `first` characters, the others by `further`. A word that
/// is longer than a line is cut.
pub(super) fn wrapped(text: &str, first: usize, further: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut rest, mut indent) = (text.trim_end(), first);
    loop {
        let (line, after) = split(rest, WIDTH - indent);
        lines.push(format!("{:indent$}{line}", ""));
        rest = after.trim_start();
        if rest.is_empty() {
            return lines;
        }
        indent = further;
    }
}

/// Splits text at the last space from which on it is longer than `width`, or within a word that is longer itself.
fn split(text: &str, width: usize) -> (&str, &str) {
    let Some((cut, next)) = text.char_indices().nth(width) else { return (text, "") };
    if next == ' ' {
        return text.split_at(cut);
    }
    let words = text[..cut].rfind(' ').map(|space| text.split_at(space));
    words.filter(|(line, _)| !line.trim().is_empty()).unwrap_or_else(|| text.split_at(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_one_line_and_a_long_one_breaks_between_words() {
        assert_eq!(wrapped("a  b ", 2, 4), ["  a  b"]);
        let words = "0123456789 ".repeat(8);
        let lines = wrapped(&words, 0, 4);
        assert_eq!(lines, ["0123456789 ".repeat(7).trim_end().to_owned(), "    0123456789".to_owned()]);
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_is_cut_between_characters() {
        let lines = wrapped(&"ä".repeat(150), 2, 4);
        let lengths: Vec<_> = lines.iter().map(|line| line.chars().count()).collect();
        assert_eq!(lengths, [80, 76]);
        assert!(wrapped(&format!("label: {}", "x".repeat(200)), 4, 6).iter().all(|line| line.len() <= 80));
    }

    #[test]
    fn a_line_that_is_just_full_is_not_broken() {
        let full = format!("{} {}", "a".repeat(39), "b".repeat(40));
        assert_eq!(wrapped(&full, 0, 2).join("|"), full);
        assert_eq!(wrapped(&format!("{full} c"), 0, 2), [full, "  c".to_owned()]);
    }
}
