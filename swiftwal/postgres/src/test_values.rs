//! Values for property tests, from ranges so small that equal parts occur.

use proptest::prelude::*;

use crate::{SegmentName, SegmentSize, Timeline};

pub(crate) fn timelines() -> impl Strategy<Value = Timeline> {
    prop_oneof![1..=3u32, 1..=u32::MAX].prop_map(|number| Timeline::new(number).unwrap())
}

pub(crate) fn segment_sizes() -> impl Strategy<Value = SegmentSize> {
    (20..=30u32).prop_map(|exponent| SegmentSize::new(1 << exponent).unwrap())
}

pub(crate) fn segment_names() -> impl Strategy<Value = SegmentName> {
    let number = || prop_oneof![0..=2u32, any::<u32>()];
    (timelines(), number(), number())
        .prop_map(|(timeline, log, seg)| format!("{:08X}{log:08X}{seg:08X}", timeline.get()).parse().unwrap())
}
