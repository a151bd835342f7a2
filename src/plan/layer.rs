//! A layer above the project: what a run changes in it goes there and waits for a person.

use crate::vocab::path::AbsPath;

use super::{MountStep, Plan};

/// Where the changes of a run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The place that stays as it is.
    pub place: AbsPath,
    /// Where what is changed lies.
    pub upper: AbsPath,
    /// What the kernel needs beside it.
    pub work: AbsPath,
}

impl Layer {
    /// Whether this step puts the layered place itself inside.
    pub fn is_put_by(&self, step: &MountStep) -> bool {
        matches!(step, MountStep::Bind { source, writable: true, .. } if *source == self.place)
    }

    /// Whether this step would put a writable part of the place inside, past the layer: it is taken of the layer instead.
    pub fn holds(&self, step: &MountStep) -> bool {
        let beneath = |path: &AbsPath| *path != self.place && path.is_beneath(&self.place);
        match step {
            MountStep::Bind { source, writable: true, .. } => beneath(source),
            MountStep::Pin { target } => target.is_beneath(&self.place),
            _ => false,
        }
    }
}

impl Plan {
    /// Lets what the run changes in `layer.place` go to the layer; `None` where the run may not write there.
    pub fn layered(mut self, layer: Layer) -> Option<Self> {
        let above = |step: &MountStep| {
            matches!(step, MountStep::Bind { source, writable: true, .. }
                if *source != layer.place && layer.place.is_beneath(source))
        };
        if !self.mounts.iter().any(|step| layer.is_put_by(step)) || self.mounts.iter().any(above) {
            return None;
        }
        self.layer = Some(layer);
        Some(self)
    }
}
