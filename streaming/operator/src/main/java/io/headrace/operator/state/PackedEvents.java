package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnRef;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * Events of some columns as they are written: small in memory, and written as they are.
 *
 * @param columns what the events have
 * @param bytes the events
 */
public record PackedEvents(List<ColumnRef> columns, byte[] bytes) {
    private static final int START_BYTES = 1024;

    /** Packs events. */
    public static PackedEvents of(EventColumns events) {
        DataOutputSerializer out = new DataOutputSerializer(START_BYTES);
        try {
            new EventColumnsCodec(events.columns()).write(out, events);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return new PackedEvents(events.columns(), out.getCopyOfBuffer());
    }

    /** The events. */
    public EventColumns unpacked() {
        try {
            return new EventColumnsCodec(columns).read(new DataInputDeserializer(bytes));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** The same events with the columns that are wanted; one that there is none of is null. */
    public PackedEvents with(List<ColumnRef> wanted) {
        return columns.equals(wanted) ? this : of(unpacked().with(wanted));
    }
}
