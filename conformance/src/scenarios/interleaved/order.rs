//! The order in which the requests of several processes are let through, by the dice.

use std::collections::VecDeque;

use super::turns::Waiting;
use crate::random::Random;

/// The most writing requests after which a process pauses: a backup has so many before its commit.
const MOST_WRITES: usize = 9;

/// The most writing requests of a prune that removes a chain and WAL on a full storage.
const MOST_WRITES_OF_A_PRUNE: usize = 40;

/// The order of requests.
#[derive(Debug)]
pub(super) enum Order {
    /// The same process goes on until the dice decide otherwise, once in `one_in` requests on average.
    Switches { dice: Random, one_in: usize, current: &'static str },
    /// Each process goes on alone, up to one of its writing requests or to its end; then each of them to its end.
    Stints { dice: Random, stints: VecDeque<Stint> },
}

/// How far a process goes on alone.
#[derive(Debug)]
pub(super) struct Stint {
    process: &'static str,
    /// The number of writing requests, if it pauses before the next one.
    writes: Option<usize>,
}

impl Order {
    /// Rolls the dice for the order of these processes.
    pub(super) fn of(mut dice: Random, processes: [&'static str; 3]) -> Self {
        if dice.up_to(2) == 1 {
            let one_in = [1, 3, 10, 30, 60][dice.up_to(5) - 1];
            return Self::Switches { dice, one_in, current: "" };
        }
        let mut stints = VecDeque::new();
        for is_first in [true, false] {
            for process in shuffled(processes.to_vec(), &mut dice) {
                let pauses = is_first && dice.up_to(2) == 1;
                stints.push_back(Stint { process, writes: pauses.then(|| dice.up_to(MOST_WRITES) - 1) });
            }
        }
        Self::Stints { dice, stints }
    }

    /// Rolls the dice for an order in which one process goes on alone up to one of its writing requests, and then another one,
    /// up to one of its own or to its end.
    pub(super) fn of_two(mut dice: Random, [first, second]: [&'static str; 2]) -> Self {
        let pauses = (dice.up_to(2) == 1).then(|| dice.up_to(MOST_WRITES) - 1);
        let stints = [
            Stint { process: first, writes: Some(dice.up_to(MOST_WRITES_OF_A_PRUNE) - 1) },
            Stint { process: second, writes: pauses },
            Stint { process: first, writes: None },
        ];
        Self::Stints { dice, stints: stints.into() }
    }

    /// Returns the index of the next request. None if none waits.
    pub(super) fn next(&mut self, waiting: &[Waiting]) -> Option<usize> {
        if waiting.is_empty() {
            return None;
        }
        let of = |process: &str| waiting.iter().position(|waiting| waiting.process == process);
        match self {
            Self::Switches { dice, one_in, current } => {
                let next = match of(current) {
                    Some(next) if dice.up_to(*one_in) > 1 => next,
                    _ => dice.up_to(waiting.len()) - 1,
                };
                *current = waiting.get(next)?.process;
                Some(next)
            }
            Self::Stints { dice, stints } => {
                while let Some(Stint { process, writes }) = stints.front_mut() {
                    let next = of(process).filter(|next| !is_write(&waiting[*next]) || *writes != Some(0));
                    if let Some(next) = next {
                        let is_counted = is_write(&waiting[next]);
                        *writes = writes.map(|left| left - usize::from(is_counted));
                        return Some(next);
                    }
                    // It has ended or pauses, or waits for the time to pass.
                    stints.pop_front();
                }
                Some(dice.up_to(waiting.len()) - 1)
            }
        }
    }
}

fn is_write(waiting: &Waiting) -> bool {
    !["get", "list"].iter().any(|reads| waiting.request.starts_with(reads))
}

fn shuffled(mut names: Vec<&'static str>, dice: &mut Random) -> Vec<&'static str> {
    for last in (1..names.len()).rev() {
        names.swap(last, dice.up_to(last + 1) - 1);
    }
    names
}
