package io.headrace.operator.expression;

/**
 * The distance between two points of the earth, with the same bits as in Python.
 *
 * <p>Only sums, products, divisions and square roots, in the order of great_circle.py.
 */
final class GreatCircle {
    private static final double RADIUS_KM = 6371.0088;
    private static final double RADIANS = 0.017453292519943295;
    private static final double HALF_PI = 1.5707963267948966;
    private static final double[] SINE = {272.0, 210.0, 156.0, 110.0, 72.0, 42.0, 20.0, 6.0};
    private static final double[] ARC_TANGENT = {13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0};

    private GreatCircle() {}

    /** The distance of two points given in degrees, in km. */
    static double kilometres(
            double latitude1, double longitude1, double latitude2, double longitude2) {
        double halfLatitude = sine((latitude2 - latitude1) * 0.5 * RADIANS);
        double halfLongitude = sine(folded(longitude2 - longitude1) * 0.5 * RADIANS);
        double cosines = cosine(latitude1 * RADIANS) * cosine(latitude2 * RADIANS);
        double h = halfLatitude * halfLatitude + cosines * (halfLongitude * halfLongitude);
        if (h >= 1.0) {
            return 2.0 * RADIUS_KM * HALF_PI;
        }
        double sine = Math.sqrt(h);
        double cosine = Math.sqrt(1.0 - h);
        double angle =
                sine <= cosine
                        ? arcTangent(sine / cosine)
                        : HALF_PI - arcTangent(cosine / sine);
        return 2.0 * RADIUS_KM * angle;
    }

    private static double folded(double degrees) {
        if (degrees > 180.0) {
            return degrees - 360.0;
        }
        return degrees < -180.0 ? degrees + 360.0 : degrees;
    }

    private static double sine(double angle) {
        double x = angle / 3.0;
        double y = x * x;
        double series = 1.0;
        for (double divisor : SINE) {
            series = 1.0 - y / divisor * series;
        }
        double s = x * series;
        return 3.0 * s - 4.0 * (s * s * s);
    }

    private static double cosine(double angle) {
        return angle >= 0.0 ? sine(HALF_PI - angle) : sine(HALF_PI + angle);
    }

    private static double arcTangent(double x) {
        double halved = x;
        for (int i = 0; i < 3; i++) {
            halved = halved / (1.0 + Math.sqrt(1.0 + halved * halved));
        }
        double y = halved * halved;
        double series = 1.0 / 15.0;
        for (double odd : ARC_TANGENT) {
            series = 1.0 / odd - y * series;
        }
        return 8.0 * (halved * series);
    }
}
