//! What a reply means: phase, code and enhanced code in; scope, permanence and reason out.
