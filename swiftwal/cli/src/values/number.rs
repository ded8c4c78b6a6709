//! Whole numbers in options and settings.

use std::ops::RangeInclusive;

/// Returns a parser of whole numbers in `range`, in decimal digits.
pub(crate) fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    let (least, most) = range.into_inner();
    move |text| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("it is not a whole number".to_owned());
        }
        let too_large = || format!("it is too large; the largest is {most}");
        // The remaining error is a number with too many digits.
        let number = if digits == text { text.parse().map_err(|_| too_large())? } else { 0 };
        if number < least || digits != text {
            return Err(format!("it must be at least {least}"));
        }
        T::try_from(number).ok().filter(|_| number <= most).ok_or_else(too_large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_the_range() {
        let port = whole::<u16>(1..=65535);
        assert_eq!(port("5432"), Ok(5432));
        for (text, message) in [
            ("abc", "it is not a whole number"),
            ("", "it is not a whole number"),
            ("1.5", "it is not a whole number"),
            ("+1", "it is not a whole number"),
            ("-1", "it must be at least 1"),
            ("0", "it must be at least 1"),
            ("65536", "it is too large; the largest is 65535"),
            ("100000000000000000000000", "it is too large; the largest is 65535"),
        ] {
            assert_eq!(port(text), Err(message.to_owned()), "{text}");
        }
    }
}
