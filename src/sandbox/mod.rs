//! The sandbox: a [`Plan`](crate::plan::Plan) → a confined process tree and its denials.
