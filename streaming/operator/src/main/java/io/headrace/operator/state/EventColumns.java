package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import java.util.Arrays;
import java.util.List;

/**
 * Events of one entity in the order of their time, by columns.
 *
 * <p>Numbers, the bits of doubles and truths (0 or 1) are kept as longs, texts as they are.
 */
public final class EventColumns {
    // Beside the bits of nulls: a view has fewer columns than a long has bits, by more than two.
    private static final long ALONE = 1L << 63;

    private final List<ColumnRef> columns;
    private final ColumnType[] types;
    private final long[][] numbers;
    private final String[][] texts;
    private long[] times;
    private long[] available;
    private byte[][] dedups;
    private long[] nulls;
    private int start;
    private int size;

    /** No events. */
    public EventColumns(List<ColumnRef> columns) {
        this(columns, 0);
    }

    /** No events, with room for some. */
    public EventColumns(List<ColumnRef> columns, int capacity) {
        this.columns = columns;
        types = columns.stream().map(ColumnRef::type).toArray(ColumnType[]::new);
        numbers = new long[types.length][];
        texts = new String[types.length][];
        allocate(capacity);
    }

    /** How many events there are. */
    public int size() {
        return size;
    }

    /** Event time, ms UTC. */
    public long time(int row) {
        return times[start + row];
    }

    /** When the event could first be known, ms UTC. */
    public long available(int row) {
        return available[start + row];
    }

    /** The bytes of the dedup key. */
    public byte[] dedup(int row) {
        return dedups[start + row];
    }

    /** Whether a value is null. */
    public boolean isNull(int column, int row) {
        return (nulls[start + row] & 1L << column) != 0;
    }

    /** A number, the bits of a double, or 0 or 1 for a truth; undefined for null. */
    public long number(int column, int row) {
        return numbers[column][start + row];
    }

    /** A text; null for null. */
    public String text(int column, int row) {
        return texts[column][start + row];
    }

    /** A value as an object; null for null. */
    public Object value(int column, int row) {
        if (isNull(column, row)) {
            return null;
        }
        return switch (types[column]) {
            case INT64 -> numbers[column][start + row];
            case FLOAT64 -> Double.longBitsToDouble(numbers[column][start + row]);
            case BOOL -> numbers[column][start + row] != 0;
            case STRING -> texts[column][start + row];
        };
    }

    /** Whether the event came when others of its time were folded away or dropped. */
    public boolean standsAlone(int row) {
        return (nulls[start + row] & ALONE) != 0;
    }

    /** Notes that an event came when others of its time were folded away or dropped. */
    public void setAlone(int row) {
        nulls[start + row] |= ALONE;
    }

    /** The first row whose event time is not before a time. */
    public int firstAtOrAfter(long time) {
        int from = start;
        int to = start + size;
        while (from < to) {
            int middle = from + to >>> 1;
            if (times[middle] < time) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        return from - start;
    }

    /** The row of an event, or -1. */
    public int find(long time, byte[] dedup) {
        for (int row = firstAtOrAfter(time); row < size && time(row) == time; row++) {
            if (Arrays.equals(dedup, dedup(row))) {
                return row;
            }
        }
        return -1;
    }

    /** Adds an event at its place in the order and returns its row. */
    public int insert(long time, long availableAt, byte[] dedup, Object[] values) {
        int row = size;
        while (row > 0 && comesBefore(time, dedup, row - 1)) {
            row--;
        }
        makeRoom();
        int at = start + row;
        int moved = size - row;
        System.arraycopy(times, at, times, at + 1, moved);
        System.arraycopy(available, at, available, at + 1, moved);
        System.arraycopy(dedups, at, dedups, at + 1, moved);
        System.arraycopy(nulls, at, nulls, at + 1, moved);
        times[at] = time;
        available[at] = availableAt;
        dedups[at] = dedup;
        long absent = 0;
        for (int column = 0; column < types.length; column++) {
            Object value = values[column];
            if (value == null) {
                absent |= 1L << column;
            }
            if (types[column] == ColumnType.STRING) {
                System.arraycopy(texts[column], at, texts[column], at + 1, moved);
                texts[column][at] = (String) value;
            } else {
                System.arraycopy(numbers[column], at, numbers[column], at + 1, moved);
                numbers[column][at] = value == null ? 0 : bits(value);
            }
        }
        nulls[at] = absent;
        size++;
        return row;
    }

    /** Adds an event after all others, whose values are set by column. */
    void append(long time, long availableAt, byte[] dedup, long absent) {
        makeRoom();
        int at = start + size;
        times[at] = time;
        available[at] = availableAt;
        dedups[at] = dedup;
        nulls[at] = absent;
        size++;
    }

    void setNumber(int column, int row, long number) {
        numbers[column][start + row] = number;
    }

    void setText(int column, int row, String text) {
        texts[column][start + row] = text;
    }

    /** For each column a bit: whether its value is null. */
    long nulls(int row) {
        return nulls[start + row] & ~ALONE;
    }

    /** Takes out the event of a row. */
    public void remove(int row) {
        if (row == 0) {
            forget(start);
            start++;
            size--;
            return;
        }
        int at = start + row;
        int moved = size - row - 1;
        System.arraycopy(times, at + 1, times, at, moved);
        System.arraycopy(available, at + 1, available, at, moved);
        System.arraycopy(dedups, at + 1, dedups, at, moved);
        System.arraycopy(nulls, at + 1, nulls, at, moved);
        for (int column = 0; column < types.length; column++) {
            Object array = texts[column] == null ? numbers[column] : texts[column];
            System.arraycopy(array, at + 1, array, at, moved);
        }
        size--;
        forget(start + size);
    }

    /** Takes out the first events, as many as said. */
    public EventColumns takeFirst(int count) {
        EventColumns taken = first(count);
        for (int row = 0; row < count; row++) {
            forget(start + row);
        }
        start += count;
        size -= count;
        return taken;
    }

    /** The events with the columns that are wanted; one that there is none of is null. */
    public EventColumns with(List<ColumnRef> wanted) {
        return columns.equals(wanted) ? this : withOther(wanted);
    }

    /** What the events' columns are. */
    public List<ColumnRef> columns() {
        return columns;
    }

    private EventColumns first(int count) {
        EventColumns made = new EventColumns(columns, count);
        System.arraycopy(times, start, made.times, 0, count);
        System.arraycopy(available, start, made.available, 0, count);
        System.arraycopy(dedups, start, made.dedups, 0, count);
        System.arraycopy(nulls, start, made.nulls, 0, count);
        for (int column = 0; column < types.length; column++) {
            Object from = texts[column] == null ? numbers[column] : texts[column];
            Object to = texts[column] == null ? made.numbers[column] : made.texts[column];
            System.arraycopy(from, start, to, 0, count);
        }
        made.size = count;
        return made;
    }

    private EventColumns withOther(List<ColumnRef> wanted) {
        int[] places = wanted.stream().mapToInt(columns::indexOf).toArray();
        EventColumns made = new EventColumns(wanted, size);
        Object[] values = new Object[places.length];
        for (int row = 0; row < size; row++) {
            for (int column = 0; column < places.length; column++) {
                values[column] = places[column] < 0 ? null : value(places[column], row);
            }
            int added = made.insert(time(row), available(row), dedup(row), values);
            if (standsAlone(row)) {
                made.setAlone(added);
            }
        }
        return made;
    }

    private void forget(int at) {
        dedups[at] = null;
        for (String[] column : texts) {
            if (column != null) {
                column[at] = null;
            }
        }
    }

    private boolean comesBefore(long time, byte[] dedup, int row) {
        int order = Long.compare(time, time(row));
        return order < 0 || order == 0 && Arrays.compareUnsigned(dedup, dedup(row)) < 0;
    }

    private static long bits(Object value) {
        if (value instanceof Long number) {
            return number;
        }
        if (value instanceof Double number) {
            return Double.doubleToRawLongBits(number);
        }
        return (Boolean) value ? 1 : 0;
    }

    private void makeRoom() {
        int capacity = times.length;
        if (start + size < capacity) {
            return;
        }
        if (start > capacity / 2) {
            move(capacity);
        } else {
            move(capacity + (capacity >> 1) + 2);
        }
    }

    private void move(int capacity) {
        long[] oldTimes = times;
        long[] oldAvailable = available;
        byte[][] oldDedups = dedups;
        long[] oldNulls = nulls;
        long[][] oldNumbers = numbers.clone();
        String[][] oldTexts = texts.clone();
        int from = start;
        allocate(capacity);
        System.arraycopy(oldTimes, from, times, 0, size);
        System.arraycopy(oldAvailable, from, available, 0, size);
        System.arraycopy(oldDedups, from, dedups, 0, size);
        System.arraycopy(oldNulls, from, nulls, 0, size);
        for (int column = 0; column < types.length; column++) {
            if (types[column] == ColumnType.STRING) {
                System.arraycopy(oldTexts[column], from, texts[column], 0, size);
            } else {
                System.arraycopy(oldNumbers[column], from, numbers[column], 0, size);
            }
        }
    }

    private void allocate(int capacity) {
        start = 0;
        times = new long[capacity];
        available = new long[capacity];
        dedups = new byte[capacity][];
        nulls = new long[capacity];
        for (int column = 0; column < types.length; column++) {
            if (types[column] == ColumnType.STRING) {
                texts[column] = new String[capacity];
            } else {
                numbers[column] = new long[capacity];
            }
        }
    }
}
