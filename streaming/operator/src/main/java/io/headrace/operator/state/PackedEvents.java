package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnRef;
import java.util.List;

/**
 * Events of some columns as they are written: small in memory, and written as they are.
 *
 * @param columns what the events have
 * @param bytes the events
 */
public record PackedEvents(List<ColumnRef> columns, byte[] bytes) {
    /** Packs events. */
    public static PackedEvents of(EventColumns events) {
        return new PackedEvents(
                events.columns(), new EventColumnsCodec(events.columns()).packed(events));
    }

    /** The events. */
    public EventColumns unpacked() {
        return new EventColumnsCodec(columns).unpacked(bytes);
    }

    /** The same events with the columns that are wanted; one that there is none of is null. */
    public PackedEvents with(List<ColumnRef> wanted) {
        return columns.equals(wanted) ? this : of(unpacked().with(wanted));
    }
}
