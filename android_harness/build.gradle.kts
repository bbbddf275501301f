// For Android Studio. `make apk` and `make aar` build the same sources without it.
plugins {
    id("com.android.application") version "9.1.0" apply false
    id("com.android.library") version "9.1.0" apply false
}
