package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;

/** Events that no window can tell apart any more: their first and last time, and their partials. */
final class FoldedTile {
    long first;
    long last;
    final Accumulator[] partials;

    FoldedTile(long first, long last, Accumulator[] partials) {
        this.first = first;
        this.last = last;
        this.partials = partials;
    }
}
