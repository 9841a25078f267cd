package io.headrace.operator.stream;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;

/**
 * Where in the topics of a decision those records begin that may be about events which a job that
 * goes on from here meets again.
 *
 * @param epoch number of the deployment that wrote it; 0 for the beginning of all
 * @param passed whether all that former runs did is behind
 * @param from where the records of former runs begin
 * @param ends where the topics ended when this was written
 */
record Bookmark(
        long epoch,
        boolean passed,
        Map<TopicPartition, Long> from,
        Map<TopicPartition, Long> ends) {
    private static final int VERSION = 1;
    private static final int START_BYTES = 256;

    /** Of all subtasks' bookmarks of one checkpoint the one that holds for every subtask. */
    static Bookmark of(Iterable<byte[]> written) throws IOException {
        Bookmark all = null;
        for (byte[] bytes : written) {
            Bookmark one = read(bytes);
            all = all == null ? one : all.with(one);
        }
        return all == null ? new Bookmark(0, false, Map.of(), Map.of()) : all;
    }

    private Bookmark with(Bookmark other) {
        return new Bookmark(
                Math.max(epoch, other.epoch),
                passed || other.passed,
                least(from, other.from),
                least(ends, other.ends));
    }

    /** Where a job that goes on from here begins to read. */
    Map<TopicPartition, Long> start() {
        return passed ? ends : from;
    }

    byte[] bytes() throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(START_BYTES);
        out.writeByte(VERSION);
        out.writeLong(epoch);
        out.writeBoolean(passed);
        write(out, from);
        write(out, ends);
        return out.getCopyOfBuffer();
    }

    private static Bookmark read(byte[] bytes) throws IOException {
        DataInputDeserializer in = new DataInputDeserializer(bytes);
        WrittenVersion.require("bookmarks", in.readByte(), VERSION);
        return new Bookmark(in.readLong(), in.readBoolean(), offsets(in), offsets(in));
    }

    private static void write(DataOutputSerializer out, Map<TopicPartition, Long> offsets)
            throws IOException {
        out.writeInt(offsets.size());
        for (Map.Entry<TopicPartition, Long> offset : offsets.entrySet()) {
            out.writeUTF(offset.getKey().topic());
            out.writeInt(offset.getKey().partition());
            out.writeLong(offset.getValue());
        }
    }

    private static Map<TopicPartition, Long> offsets(DataInputDeserializer in) throws IOException {
        int size = in.readInt();
        Map<TopicPartition, Long> offsets = new HashMap<>();
        for (int i = 0; i < size; i++) {
            TopicPartition partition = new TopicPartition(in.readUTF(), in.readInt());
            offsets.put(partition, in.readLong());
        }
        return offsets;
    }

    /** A partition that one of both doesn't know is read from its beginning. */
    private static Map<TopicPartition, Long> least(
            Map<TopicPartition, Long> left, Map<TopicPartition, Long> right) {
        Map<TopicPartition, Long> both = new HashMap<>(left);
        both.keySet().retainAll(right.keySet());
        both.replaceAll((partition, offset) -> Math.min(offset, right.get(partition)));
        return both;
    }
}
