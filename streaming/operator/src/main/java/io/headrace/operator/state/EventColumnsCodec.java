package io.headrace.operator.state;

import io.headrace.operator.aggregate.Scalars;
import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import java.io.IOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes and reads events of some columns; what is written begins with the version of its layout. */
public final class EventColumnsCodec {
    private static final int VERSION = 1;

    private final List<ColumnRef> columns;
    private final ColumnType[] types;

    /** For events with these columns. */
    public EventColumnsCodec(List<ColumnRef> columns) {
        this.columns = columns;
        types = columns.stream().map(ColumnRef::type).toArray(ColumnType[]::new);
    }

    /** Writes all events. */
    public void write(DataOutputView out, EventColumns given) throws IOException {
        EventColumns events = given.with(columns);
        out.writeByte(VERSION);
        out.writeInt(events.size());
        for (int row = 0; row < events.size(); row++) {
            writeEvent(out, events, row);
        }
    }

    /** Reads what was written. */
    public EventColumns read(DataInputView in) throws IOException {
        int version = in.readByte();
        if (version != VERSION) {
            throw new IOException(
                    "events are encoded in version " + version + ", this release reads " + VERSION);
        }
        int size = in.readInt();
        EventColumns events = new EventColumns(columns, size);
        Object[] values = new Object[types.length];
        for (int left = size; left > 0; left--) {
            readEvent(in, events, values);
        }
        return events;
    }

    private void writeEvent(DataOutputView out, EventColumns events, int row) throws IOException {
        out.writeLong(events.time(row));
        out.writeLong(events.available(row) - events.time(row));
        byte[] dedup = events.dedup(row);
        out.writeInt(dedup.length);
        out.write(dedup);
        out.writeBoolean(events.standsAlone(row));
        for (int column = 0; column < types.length; column++) {
            boolean present = !events.isNull(column, row);
            out.writeBoolean(present);
            if (!present) {
                continue;
            }
            switch (types[column]) {
                case STRING -> Scalars.writeText(out, events.text(column, row));
                case BOOL -> out.writeBoolean(events.number(column, row) != 0);
                case INT64, FLOAT64 -> out.writeLong(events.number(column, row));
            }
        }
    }

    private void readEvent(DataInputView in, EventColumns events, Object[] values)
            throws IOException {
        long time = in.readLong();
        long available = time + in.readLong();
        byte[] dedup = new byte[in.readInt()];
        in.readFully(dedup);
        boolean alone = in.readBoolean();
        for (int column = 0; column < types.length; column++) {
            values[column] =
                    !in.readBoolean()
                            ? null
                            : switch (types[column]) {
                                case STRING -> Scalars.readText(in);
                                case BOOL -> in.readBoolean();
                                case INT64 -> in.readLong();
                                case FLOAT64 -> Double.longBitsToDouble(in.readLong());
                            };
        }
        int row = events.insert(time, available, dedup, values);
        if (alone) {
            events.setAlone(row);
        }
    }
}
