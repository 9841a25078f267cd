package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.state.SeenKeys.Noted;
import io.headrace.operator.testing.MemoryStore;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class SeenKeysTest {
    private static final byte[] A = {1};
    private static final byte[] B = {2};
    private static final int MANY = 100;

    @Test
    void aKeyIsNewOnceWhateverItsTime() {
        SeenKeys keys = new SeenKeys();
        assertEquals(Noted.NEW, keys.add(100, A, 50, MANY));
        assertEquals(Noted.KNOWN, keys.add(100, A, 50, MANY));
        assertEquals(Noted.KNOWN, keys.add(120, A, 50, MANY));
        assertEquals(Noted.NEW, keys.add(110, B, 50, MANY));
    }

    @Test
    void keysBeyondTheHorizonAreForgotten() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, MANY);
        keys.add(151, B, 50, MANY);
        assertEquals(1, keys.size());
        assertEquals(Noted.NEW, keys.add(151, A, 50, MANY));
    }

    @Test
    void aKeyThatWasTakenBackIsNew() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, MANY);
        keys.remove(100, A);
        assertEquals(Noted.NEW, keys.add(100, A, 50, MANY));
    }

    @Test
    void whereThereIsNoRoomTheOldestIsForgottenAndItIsSaid() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, 1);
        assertEquals(Noted.CROWDED, keys.add(101, B, 50, 1));
        assertEquals(1, keys.size());
        assertEquals(Noted.KNOWN, keys.add(101, B, 50, 1));
        assertEquals(Noted.CROWDED, keys.add(102, A, 50, 1));
    }

    @Test
    void manyKeysAreRememberedLikeFew() {
        Random chance = new Random(3);
        MemoryStore buckets = new MemoryStore();
        SeenKeys keys = new SeenKeys();
        Map<Integer, Long> expected = new HashMap<>();
        for (long time = 0; time < 20_000; time++) {
            keys = read(keys, buckets);
            long horizon = time / 4_000 % 2 == 0 ? 300 : 10;
            int key = chance.nextInt(1_000);
            byte[] dedup = ("key " + key).getBytes(StandardCharsets.UTF_8);
            Long before = expected.get(key);
            Noted noted = keys.add(time, dedup, horizon, 1_000);
            assertEquals(before == null ? Noted.NEW : Noted.KNOWN, noted);
            if (before == null) {
                expected.put(key, time);
                long oldest = time - horizon;
                expected.values().removeIf(noticed -> noticed < oldest);
            } else if (chance.nextBoolean()) {
                keys.remove(before, dedup);
                expected.remove(key);
            }
            assertTrue(expected.size() <= keys.size());
            keys.release();
        }
        assertTrue(buckets.kept.size() > 100);
        keys = read(keys, buckets);
        keys.clear();
        keys.release();
        assertEquals(0, keys.size());
        assertEquals(Map.of(), buckets.kept);
    }

    @Test
    void ofManyTheOldestAreForgottenWhereThereIsNoRoomAndItIsSaid() {
        MemoryStore buckets = new MemoryStore();
        SeenKeys keys = new SeenKeys();
        keys.bind(buckets);
        int most = 3_000;
        int crowded = 0;
        for (int number = 0; number < 2 * most; number++) {
            Noted noted = keys.add(number, numbered(number), 10 * most, most);
            crowded += noted == Noted.CROWDED ? 1 : 0;
        }
        assertEquals(2 * most, keys.size() + crowded);
        // One that is alone in its bucket stays.
        assertTrue(keys.size() < most + 10);
        // Those that are too old take no room: it is made for those that come.
        for (int number = 0; number < most / 2; number++) {
            long time = 100L * most + number;
            assertEquals(Noted.NEW, keys.add(time, numbered(10 * most + number), 10 * most, most));
        }
    }

    @Test
    void aKeyOfManyCostsOneBucket() {
        MemoryStore buckets = new MemoryStore();
        SeenKeys keys = new SeenKeys();
        keys.bind(buckets);
        for (int number = 0; number < 10_000; number++) {
            keys.add(number, numbered(number), 100_000, 100_000);
        }
        keys.release();
        buckets.loads = 0;
        keys.add(10_001, numbered(10_001), 100_000, 100_000);
        keys.release();
        assertEquals(1, buckets.loads);
        PackedWriter head = new PackedWriter(16);
        keys.write(head);
        assertTrue(head.written().length < 32);
    }

    private static byte[] numbered(int number) {
        return ("key " + number).getBytes(StandardCharsets.UTF_8);
    }

    /** What a state that was packed and unpacked has. */
    private static SeenKeys read(SeenKeys keys, ChunkStore buckets) {
        PackedWriter out = new PackedWriter(16);
        keys.write(out);
        SeenKeys read = new SeenKeys();
        read.read(new PackedReader(out.written()));
        read.bind(buckets);
        return read;
    }
}
