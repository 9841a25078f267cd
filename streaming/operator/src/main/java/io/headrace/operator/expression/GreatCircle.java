package io.headrace.operator.expression;

/** The distance between two points of the earth, by the same steps as in Python. */
final class GreatCircle {
    private GreatCircle() {}

    static double kilometres(double latitude1, double longitude1, double latitude2, double longitude2) {
        throw new UnsupportedOperationException("great circle");
    }
}
