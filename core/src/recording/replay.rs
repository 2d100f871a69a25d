//! Does again what a recorded node did.

use std::fmt;

use super::{Begin, Part, Recorder, State, Told};
use crate::node::Node;
use crate::node::port::Input;

/// Longest text of an input in a difference, in characters.
const INPUT_CHARS_MAX: usize = 400;

/// A node that is told what the recorded one was told.
pub struct Replay {
    node: Node,
    recorder: Recorder,
    inputs: u64,
    ticks: u64,
    last: Option<Input>,
    /// The last place at which both were the same.
    agreed: u64,
}

/// The first place at which the replay is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// After so many inputs.
    pub inputs: u64,
    /// The last place before it where both were the same.
    pub agreed: u64,
    /// What is not the same.
    pub what: &'static str,
    /// The last of these inputs.
    pub input: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inputs, agreed, what) = (self.inputs, self.agreed, self.what);
        write!(
            f,
            "the {what} differ after input {inputs}; all was the same after input {agreed}. Input {inputs} \
             was: {}",
            self.input
        )
    }
}

impl Replay {
    /// The node at its beginning.
    pub fn begin(begin: Begin) -> Replay {
        let (mut recorder, _) = Recorder::begin(&begin.config, &begin.recovered);
        let mut node = Node::new(begin.config, begin.recovered);
        drain(&mut node, &mut recorder);
        Replay {
            node,
            recorder,
            inputs: 0,
            ticks: 0,
            last: None,
            agreed: 0,
        }
    }

    /// Goes on with a part of the recording. `Begin` and `End` change nothing.
    pub fn take(&mut self, part: Part) -> Result<(), Box<Difference>> {
        match part {
            Part::Begin(_) | Part::End => Ok(()),
            Part::Input(told) => self.input(*told),
            Part::State(recorded) => self.compare(recorded),
        }
    }

    fn input(&mut self, told: Told) -> Result<(), Box<Difference>> {
        let effects = self.recorder.effects();
        self.same(effects == told.effects, "effects")?;
        self.inputs += 1;
        self.ticks += u64::from(matches!(told.input, Input::Tick));
        self.last = Some(told.input.clone());
        self.recorder.count();
        self.node.step(told.input);
        drain(&mut self.node, &mut self.recorder);
        Ok(())
    }

    fn compare(&mut self, recorded: State) -> Result<(), Box<Difference>> {
        let State {
            inputs,
            effects,
            node,
        } = self.state();
        self.same(inputs == recorded.inputs, "numbers of inputs")?;
        self.same(effects == recorded.effects, "effects")?;
        self.same(node == recorded.node, "states")?;
        self.agreed = self.inputs;
        Ok(())
    }

    fn same(&self, same: bool, what: &'static str) -> Result<(), Box<Difference>> {
        if same {
            return Ok(());
        }
        let input = self.last.as_ref().map_or_else(String::new, |input| {
            let text = format!("{input:?}");
            text.chars().take(INPUT_CHARS_MAX).collect()
        });
        Err(Box::new(Difference {
            inputs: self.inputs,
            agreed: self.agreed,
            what,
            input,
        }))
    }

    /// Inputs so far.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// Of these, ticks.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.recorder.state(&self.node)
    }
}

/// Takes all effects, as a shell does before the next input.
fn drain(node: &mut Node, recorder: &mut Recorder) {
    while let Some(effect) = node.poll() {
        recorder.effect(&effect);
    }
}
