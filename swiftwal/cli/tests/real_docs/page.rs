//! The code blocks of a page.

/// Returns the code blocks in a language.
pub(crate) fn blocks<'a>(page: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    page.split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// Returns the lines of the `sh` blocks: the commands.
pub(crate) fn commands(page: &str) -> impl Iterator<Item = &str> {
    blocks(page, "sh").flat_map(str::lines)
}
