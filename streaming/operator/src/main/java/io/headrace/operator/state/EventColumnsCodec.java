package io.headrace.operator.state;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import java.util.List;

/** Packs events of some columns; what is packed begins with the version of its layout. */
final class EventColumnsCodec {
    static final int VERSION = 2;
    private static final int START_BYTES = 64;
    private static final int BYTES_OF_EVENT = 48;
    // What is said of an event, before the bits of its nulls.
    private static final int ALONE = 1;
    private static final int AVAILABLE_LATER = 2;
    private static final int FLAGS = 2;

    private final List<ColumnRef> columns;
    private final ColumnType[] types;

    /** For events with these columns. */
    EventColumnsCodec(List<ColumnRef> columns) {
        this.columns = columns;
        types = columns.stream().map(ColumnRef::type).toArray(ColumnType[]::new);
    }

    /** Packs all events. */
    byte[] packed(EventColumns events) {
        PackedWriter out = new PackedWriter(START_BYTES + BYTES_OF_EVENT * events.size());
        write(out, events);
        return out.written();
    }

    /** Packs all events among others. */
    void write(PackedWriter out, EventColumns given) {
        EventColumns events = given.with(columns);
        out.natural(VERSION);
        out.natural(events.size());
        long before = 0;
        for (int row = 0; row < events.size(); row++) {
            out.integer(events.time(row) - before);
            before = events.time(row);
            write(out, events, row);
        }
    }

    private void write(PackedWriter out, EventColumns events, int row) {
        long after = events.available(row) - events.time(row);
        int alone = events.standsAlone(row) ? ALONE : 0;
        int later = after != 0 ? AVAILABLE_LATER : 0;
        out.natural(events.nulls(row) << FLAGS | alone | later);
        if (after != 0) {
            out.integer(after);
        }
        out.binary(events.dedup(row));
        for (int column = 0; column < types.length; column++) {
            if (events.isNull(column, row)) {
                continue;
            }
            switch (types[column]) {
                case STRING -> out.text(events.text(column, row));
                case BOOL, INT64 -> out.integer(events.number(column, row));
                case FLOAT64 -> out.bits(events.number(column, row));
            }
        }
    }

    /**
     * Reads what was packed.
     *
     * @throws IllegalArgumentException another release packed it
     */
    EventColumns unpacked(byte[] bytes) {
        return read(new PackedReader(bytes));
    }

    /** Reads what was packed among others. */
    EventColumns read(PackedReader in) {
        long version = in.natural();
        if (version != VERSION) {
            throw new IllegalArgumentException(
                    "events are packed in version " + version + ", this release reads " + VERSION);
        }
        int size = in.count();
        EventColumns events = new EventColumns(columns, size);
        long time = 0;
        for (int row = 0; row < size; row++) {
            time += in.integer();
            read(in, events, row, time);
        }
        return events;
    }

    private void read(PackedReader in, EventColumns events, int row, long time) {
        long told = in.natural();
        long available = (told & AVAILABLE_LATER) != 0 ? time + in.integer() : time;
        events.append(time, available, in.binary(), told >>> FLAGS);
        for (int column = 0; column < types.length; column++) {
            if (events.isNull(column, row)) {
                continue;
            }
            switch (types[column]) {
                case STRING -> events.setText(column, row, in.text());
                case BOOL, INT64 -> events.setNumber(column, row, in.integer());
                case FLOAT64 -> events.setNumber(column, row, in.bits());
            }
        }
        if ((told & ALONE) != 0) {
            events.setAlone(row);
        }
    }
}
