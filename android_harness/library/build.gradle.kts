plugins {
    id("com.android.library")
}

android {
    namespace = "org.tfliteodl.library"
    compileSdk = 36

    defaultConfig {
        minSdk = 26
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    sourceSets {
        getByName("main") {
            // The core is no module of its own: a plain Java module cannot use an AAR.
            java.srcDirs("src/main/java", "../core/src/main/java")
        }
    }
}

dependencies {
    // The core reaches into this version (SignatureCall), and does without where the runtime
    // is another: so compiling is against it, whatever runs.
    compileOnly("org.tensorflow:tensorflow-lite:2.16.1")
    // Linked for pages of 16 KB; its classes are org.tensorflow.lite, as TFLite's.
    runtimeOnly("com.google.ai.edge.litert:litert:1.4.2")
    testImplementation("junit:junit:4.13.2")
}
