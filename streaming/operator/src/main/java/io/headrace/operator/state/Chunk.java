package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;

/** Neighbouring events that are kept apart from the rest of the state, and what they come to. */
final class Chunk {
    final int number;
    int size;
    long first;
    long last;
    // No event became known later; an earlier bound is as good.
    long mostAvailable;
    // Null where an event was taken out since they were computed.
    Accumulator[] partials;
    // Null while they are only in the store.
    EventColumns events;
    boolean changed;

    Chunk(int number) {
        this.number = number;
    }

    Chunk(int number, EventColumns events) {
        this.number = number;
        this.events = events;
        changed = true;
        describe();
    }

    /** Notes anew what the events are; there has to be one. */
    void describe() {
        size = events.size();
        first = events.time(0);
        last = events.time(size - 1);
        mostAvailable = Long.MIN_VALUE;
        for (int row = 0; row < size; row++) {
            mostAvailable = Math.max(mostAvailable, events.available(row));
        }
    }
}
