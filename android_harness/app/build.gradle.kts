plugins {
    id("com.android.application")
}

android {
    namespace = "org.tfliteodl.app"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.tfliteodl.app"
        minSdk = 26
        targetSdk = 34
        versionCode = 1
        versionName = "0.1.0"

        ndk {
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    implementation(project(":library"))
}
